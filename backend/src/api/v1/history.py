"""The audit log: `/history`."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from src.api.conditions import UNDOES, answer_change
from src.api.dependencies import (
    BAD_REQUEST,
    ENTRY_NOT_FOUND,
    EXPORT_UNAVAILABLE,
    FAILURES,
    Db,
    ReadDb,
    link_to_next,
    operation_id,
)
from src.api.exports import EXPORTED, FormatOfExport, answer_export
from src.exceptions.errors import InvalidInput
from src.models.task_history import ActionType
from src.schemas.envelope import Popup
from src.schemas.history import ChangeUndone, EntryFetched, HistoryFetched
from src.services.history_service import HistoryService
from src.services.task_service import TaskService
from src.utils.cursors import EntryCursor
from src.utils.response import success
from src.utils.validators import Id, Moment, Offset, PageNumber, PageSize, Search

router = APIRouter(prefix="/history", tags=["history"], responses=FAILURES, generate_unique_id_function=operation_id)

EntryIdInPath = Annotated[Id, Path(description="The entry's `history_id`.")]

_FILTERS = ("task_id", "action_type", "from", "to", "q")

_POPUPS = {
    ActionType.CREATED: Popup.TASK_CREATED,
    ActionType.UPDATED: Popup.TASK_UPDATED,
    ActionType.COMPLETED: Popup.TASK_COMPLETED,
    ActionType.INCOMPLETED: Popup.TASK_INCOMPLETE,
    ActionType.DELETED: Popup.TASK_DELETED,
}


@router.get(
    "",
    summary="Read the audit log",
    response_model=HistoryFetched,
    responses=EXPORTED | BAD_REQUEST | EXPORT_UNAVAILABLE,
)
async def get_history(
    request: Request,
    database: ReadDb,
    page: Annotated[
        PageNumber | None, Query(description="The number of the page, from 1 (the default); wins over `offset`.")
    ] = None,
    limit: Annotated[PageSize, Query(description="The most entries on a page.")] = 10,
    offset: Annotated[
        Offset | None, Query(description="How many entries to skip, as an alternative to `page`.")
    ] = None,
    task_id: Annotated[Id | None, Query(description="Only the entries of this task, even if it was deleted.")] = None,
    action_type: Annotated[
        list[ActionType] | None, Query(description="Only entries of this kind; give several for several kinds.")
    ] = None,
    since: Annotated[
        Moment | None, Query(alias="from", description="Only entries of this time, with its zone, and of later ones.")
    ] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Only entries of before this time.")] = None,
    q: Annotated[
        Search | None, Query(description="Only entries with each of these words in `task_title` or `description`.")
    ] = None,
    cursor: Annotated[
        EntryCursor | None, Query(description="Where the page begins, from a `Link` header; wins over `page`.")
    ] = None,
    export_format: FormatOfExport = None,
) -> Response:
    """Read the changes of all tasks, newest first, one page at a time. A page past the end is empty.

    If the service reads from a replica, the answer may be a moment old.
    """
    if since is not None and until is not None and since >= until:
        raise InvalidInput("from", "must be before to")
    history = HistoryService(database)
    if export_format is not None:
        entries = history.export_history(export_format, task_id, action_type, since=since, until=until, query=q)
        return await answer_export(request, "history", export_format, entries)
    found = await history.get_history_paginated(
        page, limit, offset, task_id, action_type, cursor, since=since, until=until, query=q
    )
    return success(found.data, headers=link_to_next(request, found.next_cursor, limit, _FILTERS))


@router.get(
    "/{history_id}",
    summary="Read an entry of the audit log",
    response_model=EntryFetched,
    responses=BAD_REQUEST | ENTRY_NOT_FOUND,
)
async def get_history_entry(history_id: EntryIdInPath, database: Db) -> Response:
    """Read one entry: what it changed, which entry it undid, and which one undid it."""
    return success(await HistoryService(database).get_entry(history_id))


@router.post(
    "/{history_id}/undo",
    summary="Undo a change",
    response_model=ChangeUndone,
    responses=UNDOES | BAD_REQUEST | ENTRY_NOT_FOUND,
)
async def undo_history_entry(history_id: EntryIdInPath, database: Db) -> Response:
    """Reverse the change of an entry, if the task still has every value that this change gave it.

    Other fields may have changed since. Undoing a deletion restores the task, and undoing a creation deletes it.
    Repeating the request changes nothing. An undo is a change like any other, and can be undone.
    """
    action, task = await TaskService(database).undo(history_id)
    return answer_change(task, _POPUPS[action])
