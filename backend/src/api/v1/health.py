"""`/health`."""

from fastapi import APIRouter, Response

from src.schemas.health import Health, Healthy
from src.utils.json_text import JsonText
from src.utils.response import success

router = APIRouter(tags=["health"])

_HEALTHY = JsonText(Health().model_dump_json())


@router.get("/health", summary="Is it up?", response_model=Healthy)
async def get_health() -> Response:
    """Answer that the process is up, whatever the database does."""
    return success(_HEALTHY)
