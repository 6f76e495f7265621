"""The probes: `/health` and `/health/ready`."""

from fastapi import APIRouter, Response

from src.api.dependencies import NOT_READY, UNEXPECTED, Db, operation_id
from src.database.disk import require_room
from src.database.migrate import require_current_schema
from src.schemas.health import Health, Healthy, Readiness, Ready
from src.utils.json_text import JsonText
from src.utils.response import success

router = APIRouter(tags=["health"], responses=UNEXPECTED, generate_unique_id_function=operation_id)

_HEALTHY = JsonText(Health(status="healthy", service="task-management-backend").model_dump_json())
_READY = JsonText(Readiness(status="ready").model_dump_json())


@router.get("/health", summary="Is it up?", response_model=Healthy)
async def get_health() -> Response:
    """A liveness probe: the process is up, whatever the state of its database."""
    return success(_HEALTHY)


@router.get("/health/ready", summary="Can it serve?", response_model=Ready, responses=NOT_READY)
async def get_readiness(database: Db) -> Response:
    """A readiness probe: the database answers, has the schema of this version and room on its disk.

    It does not check a replica: without one, tasks can still be changed.
    """
    await require_room(database)
    await require_current_schema(database)
    return success(_READY)
