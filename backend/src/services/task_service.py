"""The rules for tasks. The statements are in task_changes.py, undo.py and task_list.py."""

import json
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from src.database.database import Database
from src.database.statement import Change
from src.exceptions.errors import (
    EntryNotFound,
    EntryTooOld,
    KeyReused,
    PreconditionFailed,
    TaskNotFound,
    UndoConflict,
)
from src.models import ActionType
from src.services.exports import TASK_EXPORTS, ExportFormat, exported
from src.services.task_changes import COMPLETE, CREATE, CREATE_ONCE, DELETE, GET, REOPEN, UPDATE
from src.services.task_list import (
    ALL_TASKS,
    COMPLETE_TASKS,
    FOUND_TASKS,
    INCOMPLETE_TASKS,
    found_parameters,
    page_of_tasks,
    page_parameters,
)
from src.services.undo import OPPOSITES, UNDO
from src.utils.cursors import Page, TaskPosition
from src.utils.derived_ids import id_of_entry, id_of_task, id_of_undo
from src.utils.json_text import JsonFile, JsonText


class FetchedTask(NamedTuple):
    """A task as JSON, and its `updated_at`, which is its entity tag."""

    json: JsonText
    updated_at: str


class ChangedTask(NamedTuple):
    """The task after a change, as JSON, or null.

    `history_id` is that of the entry that the change wrote, if it wrote one. A replay wrote it before, for
    another request with the same Idempotency-Key.
    """

    json: JsonText
    history_id: UUID | None
    is_replay: bool


class Undo(NamedTuple):
    """The action that an undo was, and the task afterwards."""

    action: ActionType
    task: ChangedTask


class Safeguards(NamedTuple):
    """Protects a change against races and repeats.

    `if_match` are entity tags, each a task's `updated_at`: the change is made only if the task has one of
    them. `key` is an Idempotency-Key: a change that any process has made with the same key and the same
    arguments is not made again.
    """

    if_match: list[str] | None = None
    key: str | None = None


_NO_SAFEGUARDS = Safeguards()


class TaskService:
    """Creates, reads, changes and deletes tasks. Returns them as the JSON of `TaskResponse`.

    Every method raises `DatabaseUnavailable` when the database cannot answer in time, and those that change
    an existing task raise `TaskNotFound`, and `PreconditionFailed` if `if_match` lacks the task's tag.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_task(self, title: str, description: str | None = None, key: str | None = None) -> ChangedTask:
        """Create an incomplete task and return it. Raises `KeyReused` if `key` has created another task."""
        task_id = id_of_task(key)
        history_id = id_of_entry(key, ActionType.CREATED, task_id)
        values = {"title": title, "description": description}
        if key is None:
            return await self._write(CREATE, task_id, history_id, _NO_SAFEGUARDS, values)
        task = await self._change(CREATE_ONCE, task_id, history_id, Safeguards(key=key), values)
        if values.items() - json.loads(task.json).items():
            raise KeyReused
        return task

    async def get_all_tasks(self, is_completed: bool | None = None, query: str | None = None) -> JsonFile:
        """Return every task, or every complete or incomplete one: incomplete first, then newest first, then by id.

        With a `query`, these are the tasks with all its words in their title or description.
        """
        if query is not None:
            return await self._database.collect(FOUND_TASKS, found_parameters(is_completed, query))
        lists = {None: ALL_TASKS, False: INCOMPLETE_TASKS, True: COMPLETE_TASKS}
        return await self._database.collect(lists[is_completed])

    async def get_tasks_paginated(
        self,
        limit: int,
        after: TaskPosition | None = None,
        is_completed: bool | None = None,
        query: str | None = None,
    ) -> Page:
        """Return the first `limit` tasks of such a list, or the first that follow the position `after`."""
        statement = page_of_tasks(after, is_completed, query)
        if statement is None:
            return Page(JsonText("[]"), None)
        parameters = page_parameters(after, is_completed, query)
        [page] = await self._database.run(statement, {"limit": limit, **parameters})
        last = TaskPosition(page.is_completed, page.created_at, page.id) if page.has_next else None
        return Page(JsonText(page.tasks), last)

    def export_tasks(
        self, export_format: ExportFormat, is_completed: bool | None = None, query: str | None = None
    ) -> AsyncGenerator[bytes]:
        """Return the text of all tasks of such a list, as `exported` does."""
        return exported(self._database, TASK_EXPORTS[export_format], found_parameters(is_completed, query))

    async def get_task(self, task_id: UUID) -> FetchedTask:
        """Return the task. Raises `TaskNotFound`."""
        rows = await self._database.run(GET, {"task_id": task_id})
        if not rows:
            raise TaskNotFound
        return FetchedTask(JsonText(rows[0].json), rows[0].updated_at)

    async def update_task(
        self,
        task_id: UUID,
        title: str | None = None,
        description: str | None = None,
        safeguards: Safeguards = _NO_SAFEGUARDS,
    ) -> ChangedTask:
        """Set what is not None and return the task. If nothing differs, nothing is written."""
        history_id = _entry_id(ActionType.UPDATED, task_id, safeguards, title, description)
        values = {"title": title, "description": description}
        return await self._change(UPDATE, task_id, history_id, safeguards, values)

    async def mark_complete(self, task_id: UUID, safeguards: Safeguards = _NO_SAFEGUARDS) -> ChangedTask:
        """Complete the task, unless it is complete already, and return it."""
        history_id = _entry_id(ActionType.COMPLETED, task_id, safeguards)
        return await self._change(COMPLETE, task_id, history_id, safeguards)

    async def mark_incomplete(self, task_id: UUID, safeguards: Safeguards = _NO_SAFEGUARDS) -> ChangedTask:
        """Reopen the task, unless it is incomplete already, and return it."""
        history_id = _entry_id(ActionType.INCOMPLETED, task_id, safeguards)
        return await self._change(REOPEN, task_id, history_id, safeguards)

    async def delete_task(self, task_id: UUID, safeguards: Safeguards = _NO_SAFEGUARDS) -> ChangedTask:
        """Delete the task, but not its history; return null."""
        history_id = _entry_id(ActionType.DELETED, task_id, safeguards)
        return await self._change(DELETE, task_id, history_id, safeguards)

    async def undo(self, entry_id: UUID) -> Undo:
        """Reverse the change of a history entry and return the task, or null. To repeat this changes nothing.

        Raises `EntryNotFound`, `EntryTooOld` for an entry that does not hold its change, and `UndoConflict`
        unless each field that the entry changed still has the value that the entry gave it.
        """
        undo_id = id_of_undo(entry_id)
        undos = await self._database.task_locks.acquire_for_undo()
        try:
            parameters = {"undoes": entry_id, "history_id": undo_id}
            row, is_replay = await self._database.change(UNDO, parameters, may_be_logged=True)
        finally:
            undos.release()
        if row is None:
            raise EntryNotFound
        if not row.is_logged:
            raise EntryTooOld if row.is_too_old else UndoConflict
        # If another request made the undo, this one wrote no entry.
        task = ChangedTask(JsonText(row.json), None if is_replay else undo_id, is_replay=False)
        return Undo(OPPOSITES[ActionType(row.action_type)], task)

    async def _change(
        self,
        change: Change,
        task_id: UUID,
        history_id: UUID,
        safeguards: Safeguards,
        values: Mapping[str, str | None] = MappingProxyType({}),
    ) -> ChangedTask:
        """Make a change when the task's turn has come: callers who change the same one wait without a connection."""
        lock = await self._database.task_locks.acquire(task_id)
        try:
            return await self._write(change, task_id, history_id, safeguards, values)
        finally:
            lock.release()

    async def _write(
        self,
        change: Change,
        task_id: UUID,
        history_id: UUID,
        safeguards: Safeguards,
        values: Mapping[str, str | None],
    ) -> ChangedTask:
        if_match, key = safeguards
        parameters = {**values, "task_id": task_id, "history_id": history_id, "if_match": if_match}
        row, is_replay = await self._database.change(change, parameters, may_be_logged=key is not None)
        if row is None:
            raise TaskNotFound
        if not row.is_logged and if_match is not None and row.updated_at not in if_match:
            raise PreconditionFailed(row.updated_at)
        return ChangedTask(JsonText(row.json), history_id if row.is_logged else None, is_replay)


def _entry_id(action: ActionType, task_id: UUID, safeguards: Safeguards, *values: str | None) -> UUID:
    if_match, key = safeguards
    return id_of_entry(key, action, task_id, if_match, *values)
