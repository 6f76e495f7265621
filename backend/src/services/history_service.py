"""The audit log: writing it, reading it, and the counts of the dashboard."""

from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    ScalarSelect,
    Select,
    String,
    Uuid,
    bindparam,
    exists,
    func,
    insert,
    literal,
    select,
    text,
)

from src.database.database import Database
from src.database.json_rows import json_rows
from src.models import ActionType, Task, TaskHistory
from src.schemas.history import Pagination
from src.schemas.stats import WeeklyStats
from src.utils.json_text import JsonText, json_object
from src.utils.timestamps import utc_now, week_bounds

_tasks = Task.__table__.c
_history = TaskHistory.__table__.c


class HistoryService:
    """Reads the audit log and the counts; `log_action` is the only writer of `task_history`."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
    ) -> JsonText:
        """Return a page of the log, newest first, as JSON of `PaginatedHistory`.

        `page` counts from 1 and wins over `offset`; with neither, it is the first page.
        """
        first = offset or 0 if page is None else (page - 1) * limit
        filters = {"task_id": task_id, "action_type": action_type}
        given = {name: value for name, value in filters.items() if value is not None}
        [row] = await self._database.run(_page_of_history(frozenset(given)), {"limit": limit, "offset": first, **given})
        pagination = Pagination.of(total_count=row.total_count, offset=first, limit=limit)
        return json_object(items=row.items, pagination=pagination.model_dump_json())

    async def get_weekly_stats(self, now: datetime | None = None) -> JsonText:
        """Return the counts of the week of `now` (an aware time; default: the present) as JSON of `WeeklyStats`."""
        start, end = week_bounds(now or utc_now())
        [row] = await self._database.run(_WEEKLY_COUNTS, {"week_start": start, "week_end": end})
        total_incomplete = row.total_tasks - row.total_completed
        return JsonText(
            WeeklyStats(
                **row._mapping,
                total_incomplete=total_incomplete,
                week_start=start,
                week_end=end - timedelta(seconds=1),
            ).model_dump_json()
        )


@cache
def _page_of_history(filters: frozenset[str]) -> Select[int, str]:
    """The statement for a page of the entries that match `filters`, names of columns."""
    matching = select(TaskHistory.__table__).where(
        *(_history[name] == bindparam(name, type_=_history[name].type) for name in sorted(filters))
    )
    page = (
        matching.order_by(_history.timestamp.desc(), _history.history_id.desc())
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
        .subquery("page")
    )
    items = json_rows(page).subquery("item")
    total_count = select(func.count()).select_from(matching.subquery("matching")).scalar_subquery()
    # The order of the rows of a subquery is kept by the aggregate over it.
    as_array = select(func.concat("[", func.string_agg(items.c.json, text("','")), "]", type_=String)).scalar_subquery()
    return select(total_count.label("total_count"), as_array.label("items"))


def _count_of_tasks(*criteria: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(Task.__table__).where(*criteria).scalar_subquery()


def _within_week(moment: ColumnElement[datetime]) -> ColumnElement[bool]:
    start, end = (
        bindparam("week_start", type_=DateTime(timezone=True)),
        bindparam("week_end", type_=DateTime(timezone=True)),
    )
    return (moment >= start) & (moment < end)


# One count each, so that each can use its own index, but one statement: all are of one instant.
_WEEKLY_COUNTS = select(
    _count_of_tasks(_within_week(_tasks.created_at)).label("tasks_created_this_week"),
    _count_of_tasks(_within_week(_tasks.completed_at)).label("tasks_completed_this_week"),
    _count_of_tasks(_tasks.is_completed).label("total_completed"),
    _count_of_tasks().label("total_tasks"),
)
