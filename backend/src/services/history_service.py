"""The audit log: writing it, reading it, and the counts of the dashboard."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Uuid, bindparam, exists, insert, literal, select

from src.database.database import Database
from src.models import ActionType, TaskHistory
from src.schemas.history import Pagination
from src.schemas.stats import WeeklyStats
from src.services.counting import WEEKLY_COUNTS, keep_counted
from src.services.history_page import is_far, page_of_history
from src.utils.cursors import Page, cursor_to
from src.utils.json_text import JsonText, json_object

_history = TaskHistory.__table__.c


class HistoryService:
    """Reads the audit log and the counts; `log_action` is the only writer of `task_history`.

    Where `database` is a replica, `primary` is what it replicates.
    """

    def __init__(self, database: Database, primary: Database | None = None) -> None:
        self._database = database
        self._primary = primary or database

    @staticmethod
    def log_action(change: CTE, action: ActionType, description: ColumnElement[str]) -> CTE:
        """Return the entry that records `change`, to be added to the statement that makes it.

        `change` has a row, with the task's `id` and the `updated_at` of the change, when there is
        something to record. The statement takes the entry's id as its parameter `history_id`.
        """
        entry = select(
            bindparam("history_id", type_=Uuid()),
            change.c.id,
            literal(action, _history.action_type.type),
            description,
            change.c.updated_at,
        )
        return insert(TaskHistory).from_select([column.name for column in _history], entry).cte("logged")

    @staticmethod
    def is_logged() -> ColumnElement[bool]:
        """Whether the entry of the parameter `history_id` is in the log, and so its change was committed."""
        return exists().where(_history.history_id == bindparam("history_id", type_=Uuid()))

    async def get_history_paginated(
        self,
        page: int | None = None,
        limit: int = 10,
        offset: int | None = None,
        task_id: UUID | None = None,
        action_type: ActionType | None = None,
        after: str | None = None,
    ) -> Page:
        """Return a page of the log, newest first, as JSON of `PaginatedHistory`.

        `page` counts from 1 and wins over `offset`; with neither, it is the first page. With
        `after`, an `EntryCursor`, it is the page that follows that position, and they do not count.
        """
        offset = offset or 0 if page is None else (page - 1) * limit
        filters = {"task_id": task_id, "action_type": action_type}
        given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        if after is None:
            given["offset"] = offset
            statement = page_of_history(frozenset(given), far=is_far(offset))
        else:
            given["after_timestamp"], given["after_id"] = after.split()
            statement = page_of_history(frozenset(given))
        [row] = await self._database.run(statement, {"limit": limit, **given})
        total_count, first, items, last_position, parts = row
        keep_counted(self._primary, parts)
        pagination = Pagination.of(total_count=total_count, offset=first, limit=limit)
        return Page(
            json_object(items=items, pagination=pagination.model_dump_json()),
            cursor_to(last_position) if pagination.has_next and last_position else None,
        )

    async def get_weekly_stats(self, now: datetime | None = None) -> JsonText:
        """Return the counts of the week of `now` as JSON of `WeeklyStats`.

        `now` is an aware time; by default the present, by the clock of the database.
        """
        [row] = await self._database.run(WEEKLY_COUNTS, {"now": now})
        first_day, created_this_week, completed_this_week, total_completed, total_tasks, parts = row
        start = datetime.combine(first_day, time(), UTC)
        keep_counted(self._primary, parts)
        stats = WeeklyStats(
            tasks_created_this_week=created_this_week,
            tasks_completed_this_week=completed_this_week,
            total_completed=total_completed,
            total_incomplete=total_tasks - total_completed,
            total_tasks=total_tasks,
            week_start=start,
            week_end=start + timedelta(weeks=1, seconds=-1),
        )
        return JsonText(stats.model_dump_json())
