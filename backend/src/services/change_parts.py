"""Parts of the statements that change a task, which task_changes.py and undo.py share."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Null,
    ScalarSelect,
    Text,
    and_,
    case,
    func,
    literal_column,
    null,
    select,
    true,
)

from src.database.json_rows import wire_form

# The fields whose values an entry keeps: everything about a task but its `id` and `updated_at`.
FIELDS = ("title", "description", "is_completed", "completed_at", "created_at")

JSON_NULL = literal_column("'null'", Text)

# Marks a row that answers for a change in the log. For each such row it writes WAL, so that COMMIT waits for a
# synchronous replica: a plain read would see what only the primary has committed.
LOGGED = func.pg_logical_emit_message(true(), "", "").is_not(null()).label("is_logged")

# Neither the API nor the tables can express a later time.
_LAST_MOMENT: ColumnElement[datetime] = literal_column("timestamptz '9999-12-31 23:59:59.999999Z'")
_ONE_STEP: ColumnElement[timedelta] = literal_column("interval '1 microsecond'")


def moment_after(last_change: ColumnElement[datetime], of: FromClause) -> ScalarSelect[datetime]:
    """The time of a change: now, but always later than the `last_change`, even if the clock steps back.

    Not `now()`, which is the start of the transaction, before the wait for the lock. Reading the row `of`
    the last change is that wait.
    """
    now = func.greatest(func.clock_timestamp(), last_change + _ONE_STEP)
    moment = select(func.least(now, _LAST_MOMENT).label("now")).select_from(of).cte("moment")
    return select(moment.c.now).scalar_subquery()


def description_of_edit(before: CTE, after: CTE) -> ColumnElement[str]:
    """The description of the entry of an edit."""
    retitled, redescribed = _edited(before, after)
    return func.concat_ws(
        "; ",
        case((retitled, func.concat("Title changed from '", before.c.title, "' to '", after.c.title, "'"))),
        case((and_(retitled, redescribed), "description changed"), (redescribed, "Description changed")),
    )


def changes_of_edit(before: CTE, after: CTE) -> ColumnElement[Any]:
    """The `changes` of the entry of an edit: those fields that differ."""
    retitled, redescribed = _edited(before, after)
    return case(
        (and_(retitled, redescribed), changes(before, after, "title", "description")),
        (retitled, changes(before, after, "title")),
        else_=changes(before, after, "description"),
    )


def changes(before: CTE | None, after: CTE | None, *fields: str) -> ColumnElement[Any]:
    """The `changes` of an entry: the values of `fields` before and after it; None stands for no task."""

    def value(task: CTE | None, field: str) -> ColumnElement[Any] | Null:
        return null() if task is None else wire_form(task.c[field])

    members: list[Any] = []
    for field in fields:
        members += [field, func.json_build_object("before", value(before, field), "after", value(after, field))]
    return func.json_build_object(*members)


def _edited(before: CTE, after: CTE) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether the title differs, and whether the description does."""
    return after.c.title != before.c.title, after.c.description.is_distinct_from(before.c.description)
