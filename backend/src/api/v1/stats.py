"""The weekly dashboard: `/stats`."""

from fastapi import APIRouter, Response

from src.api.dependencies import FAILURES, UNTRUSTED_HOST, ReadDb, operation_id
from src.schemas.stats import WeeklyStatsFetched
from src.services.history_service import HistoryService
from src.utils.response import success

router = APIRouter(prefix="/stats", tags=["stats"], responses=FAILURES, generate_unique_id_function=operation_id)


@router.get("/weekly", summary="Count the week's tasks", response_model=WeeklyStatsFetched, responses=UNTRUSTED_HOST)
async def get_weekly_stats(database: ReadDb) -> Response:
    """Count the tasks created and completed this week (Monday to Sunday, UTC), and all tasks.

    If the service reads from a replica, the answer may be a moment old.
    """
    return success(await HistoryService(database).get_weekly_stats())
