"""What callers get for the weekly dashboard."""

from pydantic import BaseModel

from src.schemas.envelope import Success
from src.utils.timestamps import WeekBound


class WeeklyStats(BaseModel):
    """Counts of the tasks that exist, all of one instant; the week runs Monday to Sunday, in UTC."""

    tasks_created_this_week: int
    tasks_completed_this_week: int
    total_completed: int
    total_incomplete: int
    total_tasks: int
    week_start: WeekBound
    week_end: WeekBound


class WeeklyStatsFetched(Success[WeeklyStats, None]):
    """The counts of the present week."""
