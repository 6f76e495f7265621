"""The statement that undoes the change of a history entry.

One statement reverses every kind of change, because only the entry says which kind it is:

- `entry` is the entry to undo, and `task` its task, locked, if there is one; `before` has its values, or nulls;
- `reversal` is the task as it will be. It has no row if the entry is undone already, or unless each field that
  it changed still has the value that it gave it;
- `updated`, `restored` or `deleted` makes the reversal, and `changed` is the one that did;
- `logged` writes the entry of the undo, whose changes are those of the undone one, reversed;
- the SELECT at the end returns the task after the undo, what was undone, and whether that is logged. No row
  means that there is no such entry.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from src.database.json_rows import json_rows
from src.database.statement import REQUIRE_PRIMARY, Change, Statement
from src.models import ActionType, Task, TaskHistory
from src.services.change_parts import (
    FIELDS,
    JSON_NULL,
    LOGGED,
    changes,
    changes_of_edit,
    description_of_edit,
    moment_after,
)
from src.services.history_service import HistoryService

_tasks = Task.__table__.c
_history = TaskHistory.__table__.c
_action_type = _history.action_type.type

OPPOSITES = {
    ActionType.CREATED: ActionType.DELETED,
    ActionType.UPDATED: ActionType.UPDATED,
    ActionType.COMPLETED: ActionType.INCOMPLETED,
    ActionType.INCOMPLETED: ActionType.COMPLETED,
    ActionType.DELETED: ActionType.CREATED,
}


def _undo() -> Select[Any]:
    entry = _entry()
    its_task = _tasks.id == select(entry.c.task_id).scalar_subquery()
    task = select(Task.__table__).where(its_task).with_for_update().cte("task")
    before = select(task).select_from(entry.outerjoin(task, true())).cte("before")
    changed = _reversed(_reversal(entry, before))
    logged = HistoryService.log_action(
        changed,
        _by_action(entry, {action: literal(opposite, _action_type) for action, opposite in OPPOSITES.items()}),
        _by_action(entry, _descriptions(before, changed)),
        _by_action(entry, _changes(before, changed)),
        undoes=entry.c.history_id,
    )
    is_gone = entry.c.action_type == ActionType.CREATED
    return select(
        case((is_gone, JSON_NULL), else_=json_rows(changed).scalar_subquery()).label("json"),
        entry.c.action_type,
        entry.c.changes.is_(null()).label("is_too_old"),
        exists().select_from(changed).label("is_logged"),
    ).add_cte(logged)


def _entry() -> CTE:
    columns = (
        _history.history_id,
        _history.task_id,
        _history.action_type,
        _history.timestamp,
        # Parsed once, because each field is looked up in it.
        cast(_history.changes, JSONB).label("changes"),
    )
    return select(*columns).where(_history.history_id == bindparam("undoes", type_=Uuid())).cte("entry")


def _reversal(entry: CTE, before: CTE) -> CTE:
    def is_changed(field: str) -> ColumnElement[bool]:
        return entry.c.changes.op("?", is_comparison=True)(literal(field))

    def value(field: str, when: str) -> ColumnElement[Any]:
        return cast(entry.c.changes.op("#>>")(literal(f"{{{field},{when}}}")), _tasks[field].type)

    def holds(field: str) -> ColumnElement[bool]:
        return or_(~is_changed(field), before.c[field].is_not_distinct_from(value(field, "after")))

    def reversed_value(field: str) -> ColumnElement[Any]:
        return case((is_changed(field), value(field, "before")), else_=before.c[field]).label(field)

    is_there = before.c.id.is_not(null())
    is_possible = case(
        (entry.c.action_type == ActionType.DELETED, ~is_there), else_=and_(is_there, *map(holds, FIELDS))
    )
    moment = moment_after(func.coalesce(before.c.updated_at, entry.c.timestamp), entry.join(before, true()))
    return (
        select(
            entry.c.task_id.label("id"),
            *map(reversed_value, FIELDS),
            moment.label("updated_at"),
            entry.c.action_type,
        )
        .where(entry.c.changes.is_not(null()), ~HistoryService.is_logged(), is_possible)
        .cte("reversal")
    )


def _reversed(reversal: CTE) -> CTE:
    """The change that makes the reversal, with the task as it is afterwards, or as it was deleted."""
    this_task, action = _tasks.id == reversal.c.id, reversal.c.action_type
    updated = (
        update(Task)
        .where(this_task, action != ActionType.CREATED, action != ActionType.DELETED)
        .values({name: reversal.c[name] for name in (*FIELDS, "updated_at") if name != "created_at"})
        .returning(*_tasks)
        .cte("updated")
    )
    restores = select(*(reversal.c[column.name] for column in _tasks)).where(action == ActionType.DELETED)
    # Another client may be inserting a task with this id. Then there is nothing to restore.
    restored = (
        insert(Task).from_select(list(_tasks), restores).on_conflict_do_nothing().returning(*_tasks).cte("restored")
    )
    kept = [reversal.c.updated_at if column is _tasks.updated_at else column for column in _tasks]
    deleted = delete(Task).where(this_task, action == ActionType.CREATED).returning(*kept).cte("deleted")
    return union_all(*map(select, (updated, restored, deleted))).cte("changed")


def _descriptions(before: CTE, changed: CTE) -> dict[ActionType, ColumnElement[str]]:
    return {
        ActionType.CREATED: func.concat("Task deleted: '", changed.c.title, "' (undo)"),
        ActionType.UPDATED: func.concat(description_of_edit(before, changed), " (undo)"),
        ActionType.COMPLETED: literal("Task marked as incomplete (undo)"),
        ActionType.INCOMPLETED: literal("Task marked as completed (undo)"),
        ActionType.DELETED: func.concat("Task restored: '", changed.c.title, "'"),
    }


def _changes(before: CTE, changed: CTE) -> dict[ActionType, ColumnElement[Any]]:
    toggled = changes(before, changed, "is_completed", "completed_at")
    return {
        ActionType.CREATED: changes(changed, None, *FIELDS),
        ActionType.UPDATED: changes_of_edit(before, changed),
        ActionType.COMPLETED: toggled,
        ActionType.INCOMPLETED: toggled,
        ActionType.DELETED: changes(None, changed, *FIELDS),
    }


def _by_action(entry: CTE, values: Mapping[ActionType, ColumnElement[Any]]) -> ColumnElement[Any]:
    """The value for the action that is undone."""
    return case({str(action): value for action, value in values.items()}, value=entry.c.action_type)


def _undone() -> Select[Any]:
    entry = _entry()
    task = select(Task.__table__).where(_tasks.id == select(entry.c.task_id).scalar_subquery()).subquery("task")
    json = func.coalesce(json_rows(task).scalar_subquery(), JSON_NULL)
    return select(json.label("json"), entry.c.action_type, LOGGED).where(HistoryService.is_logged())


UNDO = Change(
    Statement("undo_entry", "Undoes the change of an entry, if the task still is as that left it.", _undo()),
    Statement(
        "return_task_if_undone",
        "Returns the task of an entry, if that is undone.",
        _undone(),
        prefix=REQUIRE_PRIMARY,
    ),
)
