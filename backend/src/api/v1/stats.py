"""The counts for a dashboard: `/stats`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from src.api.dependencies import FAILURES, ReadDb, failure_of, operation_id
from src.schemas.stats import DailyStatsFetched, WeeklyStatsFetched
from src.services.history_service import HistoryService
from src.utils.response import success
from src.utils.validators import Day, Zone

BAD_PERIOD = failure_of(
    400,
    "The input is invalid; `error` names the parameter and the rule.",
    "tz: must be an IANA time zone such as Europe/Berlin",
)

router = APIRouter(
    prefix="/stats", tags=["stats"], responses=FAILURES | BAD_PERIOD, generate_unique_id_function=operation_id
)

TimeZone = Annotated[Zone, Query(description="The IANA time zone in which days begin, such as `Europe/Berlin`.")]


@router.get("/weekly", summary="Count the week's tasks", response_model=WeeklyStatsFetched)
async def get_weekly_stats(
    database: ReadDb,
    date: Annotated[Day | None, Query(description="A day of the week to count; by default today.")] = None,
    tz: TimeZone = "UTC",
) -> Response:
    """Count the tasks created and completed in a week, from Monday to Sunday, and all tasks.

    If the service reads from a replica, the answer may be a moment old.
    """
    return success(await HistoryService(database).get_weekly_stats(date, tz))


@router.get("/daily", summary="Count the tasks and changes of each day", response_model=DailyStatsFetched)
async def get_daily_stats(
    database: ReadDb,
    first: Annotated[
        Day | None, Query(alias="from", description="The first day; by default the sixth before the last.")
    ] = None,
    last: Annotated[
        Day | None,
        Query(
            alias="to",
            description="The last day, at most 365 after the first; by default the sixth after it, or today.",
        ),
    ] = None,
    tz: TimeZone = "UTC",
) -> Response:
    """Count the tasks created and completed on each day, and the entries of the audit log. No day is left out.

    If the service reads from a replica, the answer may be a moment old.
    """
    return success(await HistoryService(database).get_daily_stats(first, last, tz))
