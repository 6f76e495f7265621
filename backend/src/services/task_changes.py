"""The statements that read, create, change and delete a task.

Each change of a task is one statement, so it commits or fails as a whole. It is made of these parts:

- `task` locks the row, so that racing callers take turns, and keeps the task as it was;
- `moment` reads the clock, once the lock is held;
- `changed` (`created`, `deleted`) changes the task, if there is anything to change;
- `logged` writes the history entry of what `changed` did (PostgreSQL runs it although nothing selects from it);
- the SELECT at the end returns the task after the change, or as it was. No row means that there is no such task.

statements.sql shows the SQL that results.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
    update,
)

from src.database.json_rows import json_rows
from src.database.statement import WAIT_FOR_REPLICA, Statement
from src.models import ActionType, Task
from src.services.history_service import HistoryService

_tasks = Task.__table__.c
_this_task = _tasks.id == bindparam("task_id", type_=Uuid())

# Neither the API nor the tables can express a later time.
_LAST_MOMENT: ColumnElement[datetime] = literal_column("timestamptz '9999-12-31 23:59:59.999999Z'")
_ONE_STEP: ColumnElement[timedelta] = literal_column("interval '1 microsecond'")
_JSON_NULL = literal_column("'null'", Text).label("json")


class Change(NamedTuple):
    """The statement that makes a change, and the one that answers if an earlier attempt was committed."""

    statement: Statement
    if_committed: Statement


def _create() -> Select[Any]:
    created = (
        insert(Task)
        .values(
            id=bindparam("task_id", type_=Uuid()),
            title=bindparam("title"),
            description=bindparam("description"),
            is_completed=false(),
            created_at=func.now(),
            updated_at=func.now(),
            completed_at=null(),
        )
        .returning(*_tasks)
        .cte("created")
    )
    description = func.concat("Task created: '", created.c.title, "'")
    return json_rows(created).add_cte(HistoryService.log_action(created, ActionType.CREATED, description))


def _update() -> Select[Any]:
    task = _locked_task()
    title: ColumnElement[str] = func.coalesce(bindparam("title"), task.c.title)
    description: ColumnElement[str] = func.coalesce(bindparam("description"), task.c.description)
    differs = tuple_(title, description).is_distinct_from(tuple_(task.c.title, task.c.description))
    changed = (
        update(Task)
        .where(_tasks.id == task.c.id, differs)
        .values(title=title, description=description, updated_at=_moment(task))
        .returning(*_tasks)
        .cte("changed")
    )
    retitled = changed.c.title != task.c.title
    redescribed = changed.c.description.is_distinct_from(task.c.description)
    edit = func.concat_ws(
        "; ",
        case((retitled, func.concat("Title changed from '", task.c.title, "' to '", changed.c.title, "'"))),
        case((and_(retitled, redescribed), "description changed"), (redescribed, "Description changed")),
    )
    return _answer(task, changed, HistoryService.log_action(changed, ActionType.UPDATED, edit))


def _complete() -> Select[Any]:
    task = _locked_task()
    moment = _moment(task)
    changed = (
        update(Task)
        .where(_tasks.id == task.c.id, ~task.c.is_completed)
        .values(is_completed=true(), completed_at=moment, updated_at=moment)
        .returning(*_tasks)
        .cte("changed")
    )
    logged = HistoryService.log_action(changed, ActionType.COMPLETED, literal("Task marked as completed"))
    return _answer(task, changed, logged)


def _reopen() -> Select[Any]:
    task = _locked_task()
    changed = (
        update(Task)
        .where(_tasks.id == task.c.id, task.c.is_completed)
        .values(is_completed=false(), completed_at=null(), updated_at=_moment(task))
        .returning(*_tasks)
        .cte("changed")
    )
    logged = HistoryService.log_action(changed, ActionType.INCOMPLETED, literal("Task marked as incomplete"))
    return _answer(task, changed, logged)


def _delete() -> Select[Any]:
    task = _locked_task()
    deleted = (
        delete(Task)
        .where(_tasks.id == task.c.id)
        .returning(_tasks.id, _tasks.title, _moment(task).label("updated_at"))
        .cte("deleted")
    )
    description = func.concat("Task deleted: '", deleted.c.title, "'")
    logged = HistoryService.log_action(deleted, ActionType.DELETED, description)
    return select(_JSON_NULL).select_from(deleted).add_cte(logged)


def _locked_task() -> CTE:
    return select(Task.__table__).where(_this_task).with_for_update().cte("task")


def _moment(task: CTE) -> ScalarSelect[datetime]:
    """The time of a change: now, but always later than the last change, even if the clock steps back.

    Not `now()`, which is the start of the transaction, before the wait for the lock.
    """
    now = func.greatest(func.clock_timestamp(), task.c.updated_at + _ONE_STEP)
    moment = select(func.least(now, _LAST_MOMENT).label("now")).cte("moment")
    return select(moment.c.now).scalar_subquery()


def _answer(task: CTE, changed: CTE, logged: CTE) -> Select[Any]:
    """The task after the change, or as it was if there was nothing to change."""
    unchanged = select(task).where(~exists().select_from(changed))
    return json_rows(union_all(select(changed), unchanged).subquery("answer")).add_cte(logged)


GET = Statement("get_task", "Returns a task.", json_rows(select(Task.__table__).where(_this_task).subquery("task")))

_RETURN_IF_LOGGED = Statement(
    "return_task_if_logged",
    "Returns a task if its change is logged: the answer if an earlier attempt was committed.",
    json_rows(select(Task.__table__).where(_this_task, HistoryService.is_logged()).subquery("task")),
    prefix=WAIT_FOR_REPLICA,
)
_CONFIRM_DELETION = Statement(
    "confirm_deletion",
    "Returns null if a deletion is logged: the answer if an earlier attempt was committed.",
    select(_JSON_NULL).where(HistoryService.is_logged()),
    prefix=WAIT_FOR_REPLICA,
)

CREATE = Change(Statement("create_task", "Creates a task and logs it.", _create()), _RETURN_IF_LOGGED)
UPDATE = Change(
    Statement("update_task", "Sets a title, a description or both, and logs it if anything differs.", _update()),
    _RETURN_IF_LOGGED,
)
COMPLETE = Change(
    Statement("complete_task", "Completes a task and logs it, unless it is complete already.", _complete()),
    _RETURN_IF_LOGGED,
)
REOPEN = Change(
    Statement("reopen_task", "Reopens a task and logs it, unless it is incomplete already.", _reopen()),
    _RETURN_IF_LOGGED,
)
DELETE = Change(Statement("delete_task", "Deletes a task and logs it.", _delete()), _CONFIRM_DELETION)
