"""The statements for the list of tasks, whole or a page at a time."""

from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    literal,
    or_,
    select,
    union_all,
)

from src.database.json_rows import json_rows
from src.database.statement import LongStatement, Statement
from src.models import Task

_tasks = Task.__table__.c
_by_age = (_tasks.created_at.desc(), _tasks.id)

_limit: ColumnElement[int] = bindparam("limit", type_=Integer())
_after_created_at = cast(bindparam("after_created_at", type_=Text()), DateTime(timezone=True))
_after_id = bindparam("after_id", type_=Uuid(as_uuid=False))


# How many tasks of the whole list are in memory at a time.
_ROWS_AT_A_TIME = 500


def _list(*criteria: ColumnElement[bool]) -> LongStatement:
    tasks = select(Task.__table__).where(*criteria).order_by(_tasks.is_completed, *_by_age)
    return LongStatement(json_rows(tasks.subquery("task")), _ROWS_AT_A_TIME)


ALL_TASKS = _list()
INCOMPLETE_TASKS = _list(~_tasks.is_completed)
COMPLETE_TASKS = _list(_tasks.is_completed)


@cache
def page_of_tasks(parts: tuple[bool, ...], cursor_part: bool | None) -> Statement:
    """Return the statement for a page of the list, whose rows are tasks as JSON and their positions.

    The list has two parts, the incomplete tasks and then the complete ones; `parts` says of which
    the page may be. With a cursor in `cursor_part`, that part begins after it. The parameters are
    `limit` and, with a cursor, `after_created_at` and `after_id`.
    """
    rows = union_all(*(_rows(is_completed, is_completed == cursor_part).subquery().select() for is_completed in parts))
    page = rows.subquery("part")
    in_order = select(page).order_by(page.c.is_completed, page.c.created_at.desc(), page.c.id).limit(_limit)
    return Statement(json_rows(in_order.subquery("task"), "is_completed", "created_at", "id"), reads_many=True)


def _rows(is_completed: bool, after_cursor: bool) -> Select[Any]:
    """Return the SELECT of one part: a range of the index, which no condition on both parts would be."""
    rows = select(Task.__table__).where(_tasks.is_completed == literal(is_completed))
    if after_cursor:
        rows = rows.where(
            _tasks.created_at <= _after_created_at, or_(_tasks.created_at < _after_created_at, _tasks.id > _after_id)
        )
    return rows.order_by(*_by_age).limit(_limit)
