"""`/history`."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from src.api.dependencies import BAD_REQUEST, FAILURES, PAGED, Db, ReadDb, link_to_next, operation_id
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
    primary: Db,
    page: Annotated[PageNumber | None, Query(description="Counts from 1, the default; wins over `offset`.")] = None,
    limit: Annotated[PageSize, Query(description="How many entries a page has.")] = 10,
    offset: Annotated[Offset | None, Query(description="How many entries to skip, instead of `page`.")] = None,
    task_id: Annotated[TaskId | None, Query(description="Only this task's entries, deleted or not.")] = None,
    action_type: Annotated[ActionType | None, Query(description="Only entries of this kind.")] = None,
    cursor: Annotated[
        EntryCursor | None, Query(description="The page that a `Link` header led to; wins over `page`.")
    ] = None,
) -> Response:
    """Read what was done, newest first, a page at a time; a page past the end is empty.

    A service that reads from a replica may answer as of a moment ago.
    """
    history = HistoryService(database, primary)
    entries = await history.get_history_paginated(page, limit, offset, task_id, action_type, cursor)
    next_page = link_to_next(request, entries.next_cursor, limit=limit, task_id=task_id, action_type=action_type)
    return success(entries.data, headers=next_page)
