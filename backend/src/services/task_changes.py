"""The statements that read, create, change and delete a task.

Each change of a task is one statement, so it commits or fails as a whole. It is made of these parts:

- `task` locks the row, so that racing callers take turns, and keeps the task as it was;
- `moment` reads the clock, once the lock is held;
- `changed` (`created`, `deleted`) changes the task, if there is anything to change and `if_match` allows it;
- `logged` writes the history entry of what `changed` did (PostgreSQL runs it although nothing selects from it);
- the SELECT at the end returns the task after the change, or as it was, and whether the change was logged.
  No row means that there is no such task.

statements.sql shows the SQL that results.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)

from src.database.json_rows import json_rows, wire_form
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
_this_task = _tasks.id == bindparam("task_id", type_=Uuid())


def _create(*conditions: ColumnElement[bool]) -> Select[Any]:
    task: dict[str, ColumnElement[Any]] = {
        "id": bindparam("task_id", type_=Uuid()),
        "title": bindparam("title"),
        "description": bindparam("description"),
        "is_completed": false(),
        "created_at": func.now(),
        "updated_at": func.now(),
        "completed_at": null(),
    }
    values = [value.label(name) for name, value in task.items()]
    created = insert(Task).from_select(list(task), select(*values).where(*conditions)).returning(*_tasks).cte("created")
    description = func.concat("Task created: '", created.c.title, "'")
    logged = HistoryService.log_action(created, ActionType.CREATED, description, changes(None, created, *FIELDS))
    return json_rows(created).add_columns(true().label("is_logged")).add_cte(logged)


def _update() -> Select[Any]:
    task = _locked_task()
    title: ColumnElement[str] = func.coalesce(bindparam("title"), task.c.title)
    description: ColumnElement[str] = func.coalesce(bindparam("description"), task.c.description)
    differs = tuple_(title, description).is_distinct_from(tuple_(task.c.title, task.c.description))
    changed = (
        update(Task)
        .where(_tasks.id == task.c.id, differs, _matches(task))
        .values(title=title, description=description, updated_at=moment_after(task.c.updated_at, task))
        .returning(*_tasks)
        .cte("changed")
    )
    logged = HistoryService.log_action(
        changed, ActionType.UPDATED, description_of_edit(task, changed), changes_of_edit(task, changed)
    )
    return _answer(task, changed, logged)


def _complete() -> Select[Any]:
    task = _locked_task()
    moment = moment_after(task.c.updated_at, task)
    changed = (
        update(Task)
        .where(_tasks.id == task.c.id, ~task.c.is_completed, _matches(task))
        .values(is_completed=true(), completed_at=moment, updated_at=moment)
        .returning(*_tasks)
        .cte("changed")
    )
    toggled = changes(task, changed, "is_completed", "completed_at")
    logged = HistoryService.log_action(changed, ActionType.COMPLETED, literal("Task marked as completed"), toggled)
    return _answer(task, changed, logged)


def _reopen() -> Select[Any]:
    task = _locked_task()
    changed = (
        update(Task)
        .where(_tasks.id == task.c.id, task.c.is_completed, _matches(task))
        .values(is_completed=false(), completed_at=null(), updated_at=moment_after(task.c.updated_at, task))
        .returning(*_tasks)
        .cte("changed")
    )
    toggled = changes(task, changed, "is_completed", "completed_at")
    logged = HistoryService.log_action(changed, ActionType.INCOMPLETED, literal("Task marked as incomplete"), toggled)
    return _answer(task, changed, logged)


def _delete() -> Select[Any]:
    task = _locked_task()
    kept = [_tasks.id, *(_tasks[field] for field in FIELDS)]
    deleted = (
        delete(Task)
        .where(_tasks.id == task.c.id, _matches(task))
        .returning(*kept, moment_after(task.c.updated_at, task).label("updated_at"))
        .cte("deleted")
    )
    description = func.concat("Task deleted: '", deleted.c.title, "'")
    logged = HistoryService.log_action(deleted, ActionType.DELETED, description, changes(deleted, None, *FIELDS))
    is_logged = exists().select_from(deleted).label("is_logged")
    updated_at = wire_form(task.c.updated_at).label("updated_at")
    return select(JSON_NULL.label("json"), updated_at, is_logged).add_cte(logged)


def _locked_task() -> CTE:
    return select(Task.__table__).where(_this_task).with_for_update().cte("task")


def _matches(task: CTE) -> ColumnElement[bool]:
    """Whether one of the tags in `if_match`, if there are any, is that of the task: its `updated_at`."""
    tags = bindparam("if_match", type_=ARRAY(Text))
    return or_(tags.is_(null()), wire_form(task.c.updated_at) == any_(tags))


def _answer(task: CTE, changed: CTE, logged: CTE) -> Select[Any]:
    """The task after the change, or as it was if nothing was changed."""
    unchanged = select(task).where(~exists().select_from(changed))
    answer = union_all(select(changed), unchanged).subquery("answer")
    is_logged = exists().select_from(changed).label("is_logged")
    return json_rows(answer, "updated_at").add_columns(is_logged).add_cte(logged)


GET = Statement(
    "get_task",
    "Returns a task.",
    json_rows(select(Task.__table__).where(_this_task).subquery("task"), "updated_at"),
)


_AS_CREATED = (
    select(
        _history.task_id.label("id"),
        _history.changes["title"]["after"].as_string().label("title"),
        _history.changes["description"]["after"].as_string().label("description"),
        false().label("is_completed"),
        _history.timestamp.label("created_at"),
        _history.timestamp.label("updated_at"),
        null().label("completed_at"),
    )
    .where(_history.history_id == bindparam("history_id", type_=Uuid()))
    .subquery("created")
)
_RETURN_CREATED = Statement(
    "return_task_as_created",
    "Returns a task as it was created, if that is in the log.",
    json_rows(_AS_CREATED).add_columns(LOGGED),
    prefix=REQUIRE_PRIMARY,
)
_AS_IT_IS = select(Task.__table__).where(_this_task, HistoryService.is_logged()).subquery("task")
_RETURN_IF_LOGGED = Statement(
    "return_task_if_logged",
    "Returns a task, if the change is in the log.",
    json_rows(_AS_IT_IS).add_columns(LOGGED),
    prefix=REQUIRE_PRIMARY,
)
_CONFIRM_DELETION = Statement(
    "confirm_deletion",
    "Returns null, if the deletion is in the log.",
    select(JSON_NULL.label("json"), LOGGED).where(HistoryService.is_logged()),
    prefix=REQUIRE_PRIMARY,
)

CREATE = Change(Statement("create_task", "Creates a task and logs it.", _create()), _RETURN_CREATED)
CREATE_ONCE = Change(
    Statement(
        "create_task_once",
        "Creates a task and logs it, unless the creation is in the log already.",
        _create(~HistoryService.is_logged()),
    ),
    _RETURN_CREATED,
)
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
