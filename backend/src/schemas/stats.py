"""What callers get for the weekly dashboard."""

from typing import Annotated

from pydantic import BaseModel, Field

from src.schemas.envelope import Success
from src.utils.timestamps import WeekBound

Count = Annotated[int, Field(ge=0)]


class WeeklyStats(BaseModel):
    """Counts of the tasks that exist, all of one instant; the week runs Monday to Sunday, in UTC."""

    tasks_created_this_week: Count
    tasks_completed_this_week: Count
    total_completed: Count
    total_incomplete: Count
    total_tasks: Count
    week_start: WeekBound
    week_end: WeekBound


class WeeklyStatsFetched(Success[WeeklyStats, None]):
    """The counts of the present week."""
