"""Counts, put together from what is counted and what is not yet: see alembic/versions/0003_cheap_counts.py."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    Date,
    DateTime,
    Select,
    Subquery,
    bindparam,
    cast,
    false,
    func,
    literal_column,
    select,
    true,
    union_all,
)

from src.database.database import Database
from src.database.statement import Statement
from src.models import ActionType, count_changes, counts
from src.models.counts import TASK_COMPLETED, TASK_CREATED

# Which kinds to count: a condition on the column `kind`.
KindFilter = Callable[[ColumnElement[str]], ColumnElement[bool]]

# More than these take longer to add up than everything else about a page of the history.
_MANY_PARTS = 200
# A fold is to see what was committed a moment ago, whatever the default of the database is.
_FOLD = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT fold_counts()"

_folded, _changes = counts.c, count_changes.c


def is_entry(kind: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether `kind` counts entries of the history."""
    return kind.in_([_text(action) for action in ActionType])


def _is_task(kind: ColumnElement[str]) -> ColumnElement[bool]:
    return kind.in_([_text(TASK_CREATED), _text(TASK_COMPLETED)])


def total_count(kinds: KindFilter) -> Select[int, int]:
    """Return a SELECT of the `total` number of rows of `kinds`, and of the number of `parts` that it is the sum of."""
    part = union_all(
        select(_folded.count.label("count")).where(kinds(_folded.kind), _folded.day.is_(None)),
        select(_changes.change).where(kinds(_changes.kind)),
    ).subquery("part")
    return select(sum_of(part.c.count).label("total"), func.count().label("parts"))


def count_by_day(kinds: KindFilter) -> Subquery:
    """Return each `day` and the `count` of its rows of `kinds`, in one part or several."""
    return union_all(
        select(_folded.day, _folded.count.label("count")).where(kinds(_folded.kind), _folded.day.is_not(None)),
        select(_changes.day, _changes.change).where(kinds(_changes.kind)),
    ).subquery("part")


def sum_of(count: ColumnElement[int], condition: ColumnElement[bool] | None = None) -> ColumnElement[int]:
    """Return the sum of the parts of a count, of those that meet the `condition`; 0 where there is none."""
    total: Any = func.sum(count)
    if condition is not None:
        total = total.filter(condition)
    return cast(func.coalesce(total, 0), BigInteger)


def _weekly_counts() -> ClauseElement:
    """The first day of the week of `now`, its tasks created and completed, all completed, all tasks, and the parts.

    Where `now` is null, it is the time that PostgreSQL gives a new task, whatever the clock of this machine says.
    """
    now = func.coalesce(bindparam("now", type_=DateTime(timezone=True)), func.now())
    week = select(cast(func.date_trunc("week", func.timezone("UTC", now)), Date).label("first_day")).cte("week")
    # Worked out once, and not for each row.
    first_day = select(week.c.first_day).scalar_subquery()
    last_day = select(week.c.first_day + literal_column("6")).scalar_subquery()
    part = union_all(
        select(_folded.kind, _folded.count.label("count"), true().label("of_all"), false().label("of_week")).where(
            _is_task(_folded.kind), _folded.day.is_(None)
        ),
        select(_folded.kind, _folded.count, false(), true()).where(
            _is_task(_folded.kind), _folded.day.between(first_day, last_day)
        ),
        select(_changes.kind, _changes.change, true(), _changes.day.between(first_day, last_day)).where(
            _is_task(_changes.kind)
        ),
    ).subquery("part")
    created, completed = part.c.kind == _text(TASK_CREATED), part.c.kind == _text(TASK_COMPLETED)
    wanted = (
        created & part.c.of_week,
        completed & part.c.of_week,
        completed & part.c.of_all,
        created & part.c.of_all,
    )
    return select(first_day, *(sum_of(part.c.count, condition) for condition in wanted), func.count())


def keep_counted(database: Database, parts: int) -> None:
    """Have the counts folded, in the background, when a count had many `parts`. `database` is the primary."""
    if parts > _MANY_PARTS:
        database.maintain(_FOLD)


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'")


WEEKLY_COUNTS = Statement(_weekly_counts(), reads_many=True)
