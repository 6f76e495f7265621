"""The tasks: `/tasks`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from src.api.conditions import (
    CHANGES,
    CREATES,
    TAGGED,
    TAKES_IF_NONE_MATCH,
    TAKES_KEY,
    TAKES_SAFEGUARDS,
    IdempotencyKey,
    IfNoneMatch,
    SafeguardsOfRequest,
    answer_change,
    answer_task,
)
from src.api.dependencies import (
    BAD_REQUEST,
    BODY_REFUSED,
    FAILURES,
    LIST_UNAVAILABLE,
    NOT_FOUND,
    Db,
    ReadDb,
    link_to_next,
    operation_id,
    require_json,
)
from src.api.exports import EXPORTED, FormatOfExport, answer_export
from src.api.json_body import JsonRoute
from src.schemas.envelope import Popup
from src.schemas.task import (
    TaskCompleted,
    TaskCreate,
    TaskCreated,
    TaskDeleted,
    TaskFetched,
    TaskIncomplete,
    TasksListed,
    TaskUpdate,
    TaskUpdated,
)
from src.services.task_service import TaskService
from src.utils.cursors import TaskCursor
from src.utils.response import streamed_success, success
from src.utils.validators import LIMIT_MAX, Boolean, Id, PageSize, Search

router = APIRouter(
    prefix="/tasks",
    tags=["tasks"],
    responses=FAILURES,
    route_class=JsonRoute,
    generate_unique_id_function=operation_id,
)

TaskIdInPath = Annotated[Id, Path(description="The task's `id`.")]
TAKES_JSON = [Depends(require_json)]

_FILTERS = ("is_completed", "q")


@router.post(
    "",
    status_code=201,
    summary="Create a task",
    response_model=TaskCreated,
    responses=CREATES | BAD_REQUEST | BODY_REFUSED,
    dependencies=TAKES_JSON,
    openapi_extra=TAKES_KEY,
)
async def create_task(task: TaskCreate, database: Db, key: IdempotencyKey) -> Response:
    """Create a task, which is incomplete at first."""
    created = await TaskService(database).create_task(task.title, task.description, key)
    return answer_change(created, Popup.TASK_CREATED, 201)


@router.get(
    "",
    summary="List the tasks",
    response_model=TasksListed,
    responses=EXPORTED | BAD_REQUEST | LIST_UNAVAILABLE,
)
async def list_tasks(
    request: Request,
    database: ReadDb,
    is_completed: Annotated[
        Boolean | None, Query(description="Only complete tasks (`true`) or only incomplete ones (`false`).")
    ] = None,
    limit: Annotated[
        PageSize | None, Query(description="The most tasks on a page. Without `limit` and `cursor`, all tasks.")
    ] = None,
    cursor: Annotated[TaskCursor | None, Query(description="Where the page begins, from a `Link` header.")] = None,
    q: Annotated[
        Search | None, Query(description="Only tasks with each of these words in the title or the description.")
    ] = None,
    export_format: FormatOfExport = None,
) -> Response:
    """List all tasks, or one page of them: incomplete ones first, then newest first.

    If the service reads from a replica, the answer may be a moment old.
    """
    tasks = TaskService(database)
    if export_format is not None:
        return await answer_export(request, "tasks", export_format, tasks.export_tasks(export_format, is_completed, q))
    if limit is None and cursor is None:
        return streamed_success(await tasks.get_all_tasks(is_completed, q))
    limit = limit or LIMIT_MAX
    page = await tasks.get_tasks_paginated(limit, cursor, is_completed, q)
    return success(page.data, headers=link_to_next(request, page.next_cursor, limit, _FILTERS))


@router.get(
    "/{task_id}",
    summary="Get a task",
    response_model=TaskFetched,
    responses=TAGGED | BAD_REQUEST | NOT_FOUND,
    openapi_extra=TAKES_IF_NONE_MATCH,
)
async def get_task(task_id: TaskIdInPath, database: Db, tags: IfNoneMatch) -> Response:
    """Get one task."""
    return answer_task(await TaskService(database).get_task(task_id), tags)


@router.put(
    "/{task_id}",
    summary="Edit a task",
    response_model=TaskUpdated,
    responses=CHANGES | BAD_REQUEST | NOT_FOUND | BODY_REFUSED,
    dependencies=TAKES_JSON,
    openapi_extra=TAKES_SAFEGUARDS,
)
async def update_task(
    task_id: TaskIdInPath, change: TaskUpdate, database: Db, safeguards: SafeguardsOfRequest
) -> Response:
    """Change the title, the description, or both. A field that is absent or null keeps its value."""
    task = await TaskService(database).update_task(task_id, change.title, change.description, safeguards)
    return answer_change(task, Popup.TASK_UPDATED)


@router.patch(
    "/{task_id}/complete",
    summary="Complete a task",
    response_model=TaskCompleted,
    responses=CHANGES | BAD_REQUEST | NOT_FOUND,
    openapi_extra=TAKES_SAFEGUARDS,
)
async def complete_task(task_id: TaskIdInPath, database: Db, safeguards: SafeguardsOfRequest) -> Response:
    """Mark the task complete. Repeating the request changes nothing."""
    return answer_change(await TaskService(database).mark_complete(task_id, safeguards), Popup.TASK_COMPLETED)


@router.patch(
    "/{task_id}/incomplete",
    summary="Reopen a task",
    response_model=TaskIncomplete,
    responses=CHANGES | BAD_REQUEST | NOT_FOUND,
    openapi_extra=TAKES_SAFEGUARDS,
)
async def reopen_task(task_id: TaskIdInPath, database: Db, safeguards: SafeguardsOfRequest) -> Response:
    """Mark the task incomplete. Repeating the request changes nothing."""
    return answer_change(await TaskService(database).mark_incomplete(task_id, safeguards), Popup.TASK_INCOMPLETE)


@router.delete(
    "/{task_id}",
    summary="Delete a task",
    response_model=TaskDeleted,
    responses=CHANGES | BAD_REQUEST | NOT_FOUND,
    openapi_extra=TAKES_SAFEGUARDS,
)
async def delete_task(task_id: TaskIdInPath, database: Db, safeguards: SafeguardsOfRequest) -> Response:
    """Delete the task. Its history stays, and undoing the deletion restores it."""
    return answer_change(await TaskService(database).delete_task(task_id, safeguards), Popup.TASK_DELETED)
