"""The statement for a page of the history.

Its cost grows with the entries of a day, and not with those of the history. The counts give the total
and, far from the newest entry, the day on which the page begins, so that only entries of that day are
stepped over.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    TIMESTAMP,
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    String,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import array

from src.database.json_rows import json_rows
from src.database.statement import Statement
from src.models import TaskHistory
from src.services.counting import KindFilter, count_by_day, is_entry, sum_of, total_count

# Each leads an index. A page is read by the index of the first that is given, which has fewer entries.
_FILTERS = ("task_id", "action_type")

_history = TaskHistory.__table__.c
_entries = select(TaskHistory.__table__)
_position = tuple_(_history.timestamp, _history.history_id)
_newest_first = (_history.timestamp.desc(), _history.history_id.desc())

_limit: ColumnElement[int] = bindparam("limit", type_=Integer())
_offset: ColumnElement[int] = bindparam("offset", type_=BigInteger())
_after_timestamp = cast(bindparam("after_timestamp", type_=Text()), DateTime(timezone=True))
_after = tuple_(_after_timestamp, bindparam("after_id", type_=Uuid(as_uuid=False)))


@cache
def page_of_history(given: frozenset[str], *, far: bool = False) -> Statement:
    """Return the statement for a page of the entries that match what is `given`.

    These are names of its parameters, beside `limit`: `task_id`, `action_type`, both or neither,
    and either `offset` or `after_timestamp` with `after_id`. It returns one row: the number of all
    entries that match, the number of those before the page, the page as a JSON array, the position
    of its last entry, and the number of parts that the first number is the sum of. Whether the offset
    is `far`, `is_far` tells.
    """
    filters = [name for name in _FILTERS if name in given]
    matches = [_history[name] == _wanted(name) for name in filters]
    # The entries of one task are few, and side by side in its index: they need no counts.
    kinds = None if "task_id" in given else _kind_of_action if "action_type" in given else is_entry
    total = (_count_of(matches) if kinds is None else total_count(kinds)).subquery("total")
    page = _ordered_entries(filters)
    first: ColumnElement[int] = cast(_offset, BigInteger)
    if "offset" not in given:
        page = page.where(_position < _after)
        first = _count_until_cursor(matches, kinds)
    elif far and kinds is not None:
        day = _day_of_offset(kinds)
        page = page.where(_history.timestamp < _scalar(day.c.ends)).offset(_offset - _scalar(day.c.newer))
    else:
        page = page.offset(_offset)
    item = json_rows(page.limit(_limit).subquery("page"), "timestamp", "history_id").subquery()
    # The order of the rows of a subquery is kept by an aggregate over it.
    listed = select(
        func.concat("[", func.string_agg(item.c.json, text("','")), "]", type_=String).label("items"),
        func.array_agg(item.c.position, type_=ARRAY(Text))[func.count()].label("last_position"),
    ).subquery("listed")
    answer = select(total.c.total, first, listed.c["items"], listed.c.last_position, total.c.parts)
    return Statement(answer.join_from(total, listed, true()), reads_many=True)


def is_far(offset: int) -> bool:
    """Whether it takes longer to step over `offset` entries than to look for the day on which to begin."""
    return offset >= 1000


def _ordered_entries(filters: Sequence[str]) -> Select[Any]:
    """The entries that match the `filters`, newest first, by the index that the first of these leads."""
    if not filters:
        return _entries.order_by(*_newest_first)
    first, *others = filters
    # Not by an equality: then the order of the index on the time would do as well, and the planner, which
    # does not know how rare the value is, might look for it through the whole history.
    return _entries.where(
        _history[first] == any_(array([_wanted(first)])), *(_history[name] == _wanted(name) for name in others)
    ).order_by(_history[first], *_newest_first)


def _wanted(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=_history[name].type)


def _kind_of_action(kind: ColumnElement[str]) -> ColumnElement[bool]:
    return kind == bindparam("action_type")


def _day_of_offset(kinds: KindFilter) -> CTE:
    """When the day ends that has the entry at `offset`, and how many entries are newer; beyond the last, no row."""
    part = count_by_day(kinds)
    day = select(part.c.day, sum_of(part.c.count).label("count")).group_by(part.c.day).subquery("day")
    newer = cast(func.sum(day.c.count).over(order_by=day.c.day.desc()), BigInteger) - day.c.count
    running = select(day, newer.label("newer")).subquery("running")
    return (
        select(_end_of(running.c.day).label("ends"), running.c.newer)
        .where(_offset >= running.c.newer, _offset < running.c.newer + running.c.count)
        .cte("day_of_offset")
    )


def _count_until_cursor(matches: Sequence[ColumnElement[bool]], kinds: KindFilter | None) -> ColumnElement[int]:
    """How many entries there are up to the cursor: those of the cursor's day, and those of newer days."""
    within = [*matches, _position >= _after]
    if kinds is None:
        return _number_of(within)
    part = count_by_day(kinds)
    day = cast(func.timezone("UTC", _after_timestamp), part.c.day.type)
    newer = select(sum_of(part.c.count)).where(part.c.day > day).scalar_subquery()
    return newer + _number_of([*within, _history.timestamp < _end_of(day)])


def _count_of(matches: Sequence[ColumnElement[bool]]) -> Select[int, int]:
    return select(_number_of(matches).label("total"), literal_column("1", Integer).label("parts"))


def _number_of(matches: Sequence[ColumnElement[bool]]) -> ColumnElement[int]:
    return select(func.count()).select_from(TaskHistory.__table__).where(*matches).scalar_subquery()


def _end_of(day: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.timezone("UTC", cast(day + literal_column("1"), TIMESTAMP))


def _scalar(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return select(column).scalar_subquery()
