"""Tasks: each change of one is a single statement, which also writes its history entry.

A statement is made of these parts, so that it is answered and committed, or undone, as a whole:

- `task` locks the task, so that callers who race for it take turns, and is its before-image;
- `stamp` is the moment of the change, read once the lock is held;
- `changed` makes the change, if there is one to make;
- `logged` records what `changed` did.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

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

from src.database.connection import Rows
from src.database.database import Database
from src.database.json_rows import json_rows
from src.database.statement import Statement
from src.exceptions.errors import TaskNotFound
from src.models import ActionType, Task
from src.services.history_service import HistoryService
from src.services.task_list import ALL_TASKS, COMPLETE_TASKS, INCOMPLETE_TASKS, page_of_tasks
from src.utils.cursors import Page, cursor_to
from src.utils.json_text import JsonFile, JsonText, json_array

_tasks = Task.__table__.c
# Beyond it, neither the API nor the tables can express a time.
_LAST_MOMENT: ColumnElement[datetime] = literal_column("timestamptz '9999-12-31 23:59:59.999999Z'")
_JSON_NULL = literal_column("'null'", Text).label("json")


class Change(NamedTuple):
    """The statement that makes a change, and its answer if it was committed and the connection lost."""

    statement: Statement
    if_committed: Statement


class TaskService:
    """Creates, reads, changes and deletes tasks. Tasks are returned as JSON of `TaskResponse`.

    Every method raises `DatabaseUnavailable` when the database cannot answer in time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_task(self, title: str, description: str | None = None) -> JsonText:
        """Create an incomplete task and return it."""
        return await self._run(CREATE, uuid4(), title=title, description=description)

    async def get_all_tasks(self, is_completed: bool | None = None) -> JsonFile:
        """Return every task, or every complete or incomplete one: incomplete first, then newest first, then by id."""
        lists = {None: ALL_TASKS, False: INCOMPLETE_TASKS, True: COMPLETE_TASKS}
        return await self._database.collect(lists[is_completed])

    async def get_tasks_paginated(self, limit: int, after: str | None = None, is_completed: bool | None = None) -> Page:
        """Return the first `limit` tasks of that list, or the first that follow `after`, a `TaskCursor`."""
        parts: tuple[bool, ...] = (False, True) if is_completed is None else (is_completed,)
        cursor_part = None
        # One more than asked for, which tells whether there is more.
        parameters: dict[str, Any] = {"limit": limit + 1}
        if after is not None:
            completeness, parameters["after_created_at"], parameters["after_id"] = after.split()
            cursor_part = completeness == "t"
            parts = tuple(part for part in parts if part >= cursor_part)
        rows = await self._database.run(page_of_tasks(parts, cursor_part), parameters) if parts else []
        next_cursor = cursor_to(rows[limit - 1][1]) if len(rows) > limit else None
        return Page(json_array(json for json, _ in rows[:limit]), next_cursor)

    async def get_task(self, task_id: UUID) -> JsonText:
        """Return the task. Raises `TaskNotFound`."""
        return _one(await self._database.run(GET, {"task_id": task_id}))

    async def update_task(self, task_id: UUID, title: str | None = None, description: str | None = None) -> JsonText:
        """Set what is not None and return the task. Raises `TaskNotFound`.

        Where everything is so already, nothing changes and nothing is recorded.
        """
        return await self._change(UPDATE, task_id, title=title, description=description)

    async def mark_complete(self, task_id: UUID) -> JsonText:
        """Complete the task, unless it is complete already, and return it. Raises `TaskNotFound`."""
        return await self._change(COMPLETE, task_id)

    async def mark_incomplete(self, task_id: UUID) -> JsonText:
        """Make the task incomplete, unless it is so already, and return it. Raises `TaskNotFound`."""
        return await self._change(INCOMPLETE, task_id)

    async def delete_task(self, task_id: UUID) -> JsonText:
        """Delete the task, but not its history; return null. Raises `TaskNotFound`."""
        return await self._change(DELETE, task_id)

    async def _change(self, change: Change, task_id: UUID, **parameters: Any) -> JsonText:
        """Change a task that others may be changing: none of them waits for it with a connection."""
        turns = self._database.turns
        await turns.begin(task_id)
        try:
            return await self._run(change, task_id, **parameters)
        finally:
            turns.end(task_id)

    async def _run(self, change: Change, task_id: UUID, **parameters: Any) -> JsonText:
        parameters |= {"task_id": task_id, "history_id": uuid4()}
        return _one(await self._database.run(change.statement, parameters, if_committed=change.if_committed))


def _one(rows: Rows) -> JsonText:
    """The answer to a statement on one task, which has no row where there is no such task."""
    if not rows:
        raise TaskNotFound
    [[json]] = rows
    return JsonText(json)


def _existing_task() -> Select[Any]:
    return select(Task.__table__).where(_tasks.id == bindparam("task_id", type_=Uuid()))


def _locked_task() -> CTE:
    return _existing_task().with_for_update().cte("task")


def _stamp(task: CTE) -> ScalarSelect[datetime]:
    """The moment of a change: now, and later than the change before, whatever the clock does, up to the last one.

    The time of the transaction would not do: it is that of its start, before the wait for the lock.
    """
    one_step: ColumnElement[timedelta] = literal_column("interval '1 microsecond'")
    now = func.greatest(func.clock_timestamp(), task.c.updated_at + one_step)
    stamp = select(func.least(now, _LAST_MOMENT).label("now")).cte("stamp")
    return select(stamp.c.now).scalar_subquery()


def _changed(task: CTE, is_change: ColumnElement[bool], **values: Any) -> CTE:
    """Set `values` on the locked task where that is a change; what it was before comes along."""
    before = (task.c.title.label("title_before"), task.c.description.label("description_before"))
    return (
        update(Task)
        .where(_tasks.id == task.c.id, is_change)
        .values(**values)
        .returning(*_tasks, *before)
        .cte("changed")
    )


def _answer(task: CTE, changed: CTE, logged: CTE) -> Select[str]:
    """The task after the change, or as it is where there was nothing to change."""
    after = select(*(changed.c[column.name] for column in _tasks))
    unchanged = select(task).where(~select(changed.c.id).exists())
    return json_rows(union_all(after, unchanged).subquery("answer")).add_cte(logged)


def _create() -> Select[str]:
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


def _update() -> Select[str]:
    task = _locked_task()
    title: ColumnElement[str] = func.coalesce(bindparam("title"), task.c.title)
    description: ColumnElement[str] = func.coalesce(bindparam("description"), task.c.description)
    is_change = tuple_(title, description).is_distinct_from(tuple_(task.c.title, task.c.description))
    changed = _changed(task, is_change, title=title, description=description, updated_at=_stamp(task))

    new, old_title, old_description = changed.c, changed.c.title_before, changed.c.description_before
    retitled = new.title != old_title
    redescribed = new.description.is_distinct_from(old_description)
    what = func.concat_ws(
        "; ",
        case((retitled, func.concat("Title changed from '", old_title, "' to '", new.title, "'"))),
        case((and_(retitled, redescribed), "description changed"), (redescribed, "Description changed")),
    )
    return _answer(task, changed, HistoryService.log_action(changed, ActionType.UPDATED, what))


def _complete() -> Select[str]:
    task = _locked_task()
    now = _stamp(task)
    changed = _changed(task, ~task.c.is_completed, is_completed=true(), completed_at=now, updated_at=now)
    logged = HistoryService.log_action(changed, ActionType.COMPLETED, literal("Task marked as completed"))
    return _answer(task, changed, logged)


def _incomplete() -> Select[str]:
    task = _locked_task()
    changed = _changed(task, task.c.is_completed, is_completed=false(), completed_at=null(), updated_at=_stamp(task))
    logged = HistoryService.log_action(changed, ActionType.INCOMPLETED, literal("Task marked as incomplete"))
    return _answer(task, changed, logged)


def _delete() -> Select[str]:
    task = _locked_task()
    deleted = (
        delete(Task)
        .where(_tasks.id == task.c.id)
        .returning(_tasks.id, _tasks.title, _stamp(task).label("updated_at"))
        .cte("deleted")
    )
    description = func.concat("Task deleted: '", deleted.c.title, "'")
    logged = HistoryService.log_action(deleted, ActionType.DELETED, description)
    return select(_JSON_NULL).select_from(deleted).add_cte(logged)


# The statements are built once, here; a request only binds its values.
GET = Statement(json_rows(_existing_task().subquery("task")))

_get_if_logged = Statement(json_rows(_existing_task().where(HistoryService.is_logged()).subquery("task")))
CREATE = Change(Statement(_create()), _get_if_logged)
UPDATE = Change(Statement(_update()), _get_if_logged)
COMPLETE = Change(Statement(_complete()), _get_if_logged)
INCOMPLETE = Change(Statement(_incomplete()), _get_if_logged)
DELETE = Change(Statement(_delete()), Statement(select(_JSON_NULL).where(HistoryService.is_logged())))
