"""Response bodies of `/stats`."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field

from src.schemas.envelope import Success
from src.utils.timestamps import WeekBound

Count = Annotated[int, Field(ge=0)]


class WeeklyStats(BaseModel):
    """Counts of the tasks that exist, all at the same instant. The week runs from Monday to Sunday, in any zone."""

    tasks_created_this_week: Count
    tasks_completed_this_week: Count
    total_completed: Count
    total_incomplete: Count
    total_tasks: Count
    week_start: WeekBound
    week_end: WeekBound


class WeeklyStatsFetched(Success[WeeklyStats, None]):
    """The counts of a week."""


class DayCounts(BaseModel):
    """Counts of a day: of the tasks that exist, by their times, and of the entries of the audit log."""

    date: date
    tasks_created: Count
    tasks_completed: Count
    changes: Count


class DailyStats(BaseModel):
    """Counts of each day, all at the same instant."""

    tz: str
    days: list[DayCounts]


class DailyStatsFetched(Success[DailyStats, None]):
    """The counts of each day."""
