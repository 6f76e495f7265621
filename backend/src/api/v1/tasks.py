"""`/tasks`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from src.api.dependencies import BAD_REQUEST, BODY_REFUSED, NOT_FOUND, UNAVAILABLE, Db, require_json
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
from src.utils.response import success
from src.utils.validators import TaskId

router = APIRouter(prefix="/tasks", tags=["tasks"], responses=UNAVAILABLE, route_class=JsonRoute)

TaskIdInPath = Annotated[TaskId, Path(description="The task's `id`.")]
TAKES_JSON = [Depends(require_json)]


@router.post(
    "",
    status_code=201,
    summary="Create a task",
    response_model=TaskCreated,
    responses=BAD_REQUEST | BODY_REFUSED,
    dependencies=TAKES_JSON,
)
async def create_task(task: TaskCreate, database: Db) -> Response:
    """Create a task, incomplete."""
    return success(await TaskService(database).create_task(task.title, task.description), Popup.TASK_CREATED, 201)


@router.get("", summary="List the tasks", response_model=TasksListed)
async def list_tasks(database: Db) -> Response:
    """List every task: incomplete ones first, then newest first."""
    return success(await TaskService(database).get_all_tasks())


@router.get("/{task_id}", summary="Get a task", response_model=TaskFetched, responses=BAD_REQUEST | NOT_FOUND)
async def get_task(task_id: TaskIdInPath, database: Db) -> Response:
    """Get one task."""
    return success(await TaskService(database).get_task(task_id))


@router.put(
    "/{task_id}",
    summary="Edit a task",
    response_model=TaskUpdated,
    responses=BAD_REQUEST | NOT_FOUND | BODY_REFUSED,
    dependencies=TAKES_JSON,
)
async def update_task(task_id: TaskIdInPath, change: TaskUpdate, database: Db) -> Response:
    """Change the title, the description, or both; what is absent or null stays as it is."""
    task = await TaskService(database).update_task(task_id, change.title, change.description)
    return success(task, Popup.TASK_UPDATED)


@router.patch(
    "/{task_id}/complete",
    summary="Complete a task",
    response_model=TaskCompleted,
    responses=BAD_REQUEST | NOT_FOUND,
)
async def complete_task(task_id: TaskIdInPath, database: Db) -> Response:
    """Mark the task complete. To repeat this changes nothing."""
    return success(await TaskService(database).mark_complete(task_id), Popup.TASK_COMPLETED)


@router.patch(
    "/{task_id}/incomplete",
    summary="Reopen a task",
    response_model=TaskIncomplete,
    responses=BAD_REQUEST | NOT_FOUND,
)
async def reopen_task(task_id: TaskIdInPath, database: Db) -> Response:
    """Mark the task incomplete. To repeat this changes nothing."""
    return success(await TaskService(database).mark_incomplete(task_id), Popup.TASK_INCOMPLETE)


@router.delete("/{task_id}", summary="Delete a task", response_model=TaskDeleted, responses=BAD_REQUEST | NOT_FOUND)
async def delete_task(task_id: TaskIdInPath, database: Db) -> Response:
    """Delete the task for good. Its history stays."""
    return success(await TaskService(database).delete_task(task_id), Popup.TASK_DELETED)
