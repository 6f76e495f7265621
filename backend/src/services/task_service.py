"""The rules for tasks. The statements are in task_changes.py and task_list.py."""

from typing import Any
from uuid import UUID, uuid4

from src.database.connection import Rows
from src.database.database import Database
from src.exceptions.errors import TaskNotFound
from src.services.task_changes import COMPLETE, CREATE, DELETE, GET, REOPEN, UPDATE, Change
from src.services.task_list import ALL_TASKS, COMPLETE_TASKS, INCOMPLETE_TASKS, page_of_tasks
from src.utils.cursors import Page, TaskPosition
from src.utils.json_text import JsonFile, JsonText


class TaskService:
    """Creates, reads, changes and deletes tasks. Returns them as the JSON of `TaskResponse`.

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

    async def get_tasks_paginated(
        self, limit: int, after: TaskPosition | None = None, is_completed: bool | None = None
    ) -> Page:
        """Return the first `limit` tasks of that list, or the first that follow the position `after`."""
        statement = page_of_tasks(after, is_completed)
        if statement is None:
            return Page(JsonText("[]"), None)
        parameters: dict[str, Any] = {"limit": limit, "is_completed": is_completed}
        if after is not None:
            parameters |= {
                "is_completed": after.is_completed if is_completed is None else is_completed,
                "after_created_at": after.created_at,
                "after_id": after.id,
            }
        [page] = await self._database.run(statement, parameters)
        last = TaskPosition(page.is_completed, page.created_at, page.id) if page.has_next else None
        return Page(JsonText(page.tasks), last)

    async def get_task(self, task_id: UUID) -> JsonText:
        """Return the task. Raises `TaskNotFound`."""
        return _one(await self._database.run(GET, {"task_id": task_id}))

    async def update_task(self, task_id: UUID, title: str | None = None, description: str | None = None) -> JsonText:
        """Set what is not None and return the task. Raises `TaskNotFound`.

        If nothing differs, nothing is written.
        """
        return await self._change(UPDATE, task_id, title=title, description=description)

    async def mark_complete(self, task_id: UUID) -> JsonText:
        """Complete the task, unless it is complete already, and return it. Raises `TaskNotFound`."""
        return await self._change(COMPLETE, task_id)

    async def mark_incomplete(self, task_id: UUID) -> JsonText:
        """Reopen the task, unless it is incomplete already, and return it. Raises `TaskNotFound`."""
        return await self._change(REOPEN, task_id)

    async def delete_task(self, task_id: UUID) -> JsonText:
        """Delete the task, but not its history; return null. Raises `TaskNotFound`."""
        return await self._change(DELETE, task_id)

    async def _change(self, change: Change, task_id: UUID, **parameters: Any) -> JsonText:
        """Change an existing task. Callers who change the same one wait here, without a connection."""
        lock = await self._database.task_locks.acquire(task_id)
        try:
            return await self._run(change, task_id, **parameters)
        finally:
            lock.release()

    async def _run(self, change: Change, task_id: UUID, **parameters: Any) -> JsonText:
        parameters |= {"task_id": task_id, "history_id": uuid4()}
        return _one(await self._database.run(change.statement, parameters, if_committed=change.if_committed))


def _one(rows: Rows) -> JsonText:
    """Return the JSON of a statement on one task, which returns no row if there is no such task."""
    if not rows:
        raise TaskNotFound
    return JsonText(rows[0].json)
