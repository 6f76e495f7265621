"""The audit log: `/history`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from src.api.dependencies import BAD_REQUEST, FAILURES, PAGED, ReadDb, link_to_next, operation_id
from src.models.task_history import ActionType
from src.schemas.history import HistoryFetched
from src.services.history_service import HistoryService
from src.utils.cursors import EntryCursor
from src.utils.response import success
from src.utils.validators import Offset, PageNumber, PageSize, TaskId

router = APIRouter(prefix="/history", tags=["history"], responses=FAILURES, generate_unique_id_function=operation_id)


@router.get("", summary="Read the audit log", response_model=HistoryFetched, responses=PAGED | BAD_REQUEST)
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
    task_id: Annotated[
        TaskId | None, Query(description="Only the entries of this task, even if it was deleted.")
    ] = None,
    action_type: Annotated[ActionType | None, Query(description="Only entries of this kind.")] = None,
    cursor: Annotated[
        EntryCursor | None, Query(description="Where the page begins, from a `Link` header; wins over `page`.")
    ] = None,
) -> Response:
    """Read the changes of all tasks, newest first, one page at a time. A page past the end is empty.

    If the service reads from a replica, the answer may be a moment old.
    """
    history = HistoryService(database)
    entries = await history.get_history_paginated(page, limit, offset, task_id, action_type, cursor)
    next_page = link_to_next(request, entries.next_cursor, limit=limit, task_id=task_id, action_type=action_type)
    return success(entries.data, headers=next_page)
