"""What callers get for the weekly dashboard."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from src.schemas.envelope import Success
from src.utils.timestamps import WeekBound

Count = Annotated[int, Field(ge=0)]


class WeeklyStats(BaseModel):
    """Counts of the tasks that exist, all of one instant; the week runs Monday to Sunday, in UTC."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tasks_created_this_week": 12,
                    "tasks_completed_this_week": 7,
                    "total_completed": 30,
                    "total_incomplete": 9,
                    "total_tasks": 39,
                    "week_start": "2026-11-16T00:00:00Z",
                    "week_end": "2026-11-22T23:59:59Z",
                }
            ]
        }
    )

    tasks_created_this_week: Count
    tasks_completed_this_week: Count
    total_completed: Count
    total_incomplete: Count
    total_tasks: Count
    week_start: WeekBound
    week_end: WeekBound


class WeeklyStatsFetched(Success[WeeklyStats, None]):
    """The counts of the present week."""
