"""Response bodies of `/stats`."""

from typing import Annotated

from pydantic import BaseModel, Field

from src.schemas.envelope import Success
from src.utils.timestamps import WeekBound

Count = Annotated[int, Field(ge=0)]


class WeeklyStats(BaseModel):
    """Counts of the tasks that exist, all at the same instant. The week runs from Monday to Sunday, in UTC."""

    tasks_created_this_week: Count
    tasks_completed_this_week: Count
    total_completed: Count
    total_incomplete: Count
    total_tasks: Count
    week_start: WeekBound
    week_end: WeekBound


class WeeklyStatsFetched(Success[WeeklyStats, None]):
    """The counts of the current week."""
