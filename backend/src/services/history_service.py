"""The audit log: writing it, reading it, and the counts of the dashboard."""

from collections.abc import AsyncGenerator, Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import CTE, ColumnElement, Uuid, bindparam, exists, insert, literal, select, text

from src.database.database import Database
from src.database.json_rows import wire_columns
from src.database.statement import Statement
from src.exceptions.errors import EntryNotFound, InvalidInput
from src.models import ActionType, TaskHistory
from src.schemas.history import HistoryEntry, Pagination
from src.schemas.stats import DailyStats, DayCounts, WeeklyStats
from src.services.conditions import word_parameters
from src.services.counting import fold_many
from src.services.exports import HISTORY_EXPORTS, ExportFormat, exported
from src.services.history_page import page_of_history
from src.services.history_search import PERIOD, PERIOD_OF_ACTIONS, SEARCH
from src.services.period_counts import count_days, count_week, days_from_to
from src.utils.calendar_days import week_of
from src.utils.cursors import EntryPosition, Page
from src.utils.derived_ids import id_of_undo
from src.utils.json_text import JsonText, json_object

_history = TaskHistory.__table__.c

_NOT_IN_CALENDAR = "must be further from the ends of the calendar, the years 1 and 9999"

_ENTRY = Statement(
    "get_entry",
    "Returns an entry of the history, and the one that undid it.",
    text(f"""
        WITH item AS (
            SELECT
                {wire_columns(_history[name] for name in HistoryEntry.model_fields if name in _history)},
                (SELECT history_id FROM task_history WHERE history_id = CAST(:undone_by AS uuid)) AS undone_by
            FROM task_history
            WHERE history_id = CAST(:history_id AS uuid)
        )
        SELECT CAST(row_to_json(item) AS text) AS json FROM item
    """),  # noqa: S608  # Constants.
)


class HistoryService:
    """Reads the audit log and the counts. `log_action` is the only writer of `task_history`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def log_action(
        change: CTE,
        action: ActionType | ColumnElement[str],
        description: ColumnElement[str],
        changes: ColumnElement[Any],
        undoes: ColumnElement[UUID] | None = None,
    ) -> CTE:
        """Return the INSERT of the entry for `change`, to be added to the statement that makes it.

        `change` has the task's `id` and `title` and, as `updated_at`, the time of the change. If it has no
        row, nothing is logged. The statement takes the entry's id as its parameter `history_id`.
        """
        entry = {
            "history_id": bindparam("history_id", type_=Uuid()),
            "task_id": change.c.id,
            "action_type": literal(action, _history.action_type.type) if isinstance(action, ActionType) else action,
            "description": description,
            "timestamp": change.c.updated_at,
            "task_title": change.c.title,
            "changes": changes,
        }
        if undoes is not None:
            entry["undoes"] = undoes
        values = select(*(value.label(name) for name, value in entry.items())).select_from(change)
        return insert(TaskHistory).from_select(list(entry), values).cte("logged")

    @staticmethod
    def is_logged() -> ColumnElement[bool]:
        """Whether the entry `history_id` is in the log. Then its change was committed, too."""
        return exists().where(_history.history_id == bindparam("history_id", type_=Uuid()))

    async def get_history_paginated(
        self,
        page: int | None = None,
        limit: int = 10,
        offset: int | None = None,
        task_id: UUID | None = None,
        action_type: ActionType | Collection[ActionType] | None = None,
        after: EntryPosition | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        query: str | None = None,
    ) -> Page:
        """Return a page of the log, newest first, as the JSON of `PaginatedHistory`.

        `page` counts from 1 and wins over `offset`; the default is the first page. A position to go on
        `after` wins over both. The filters: entries of one task, of some actions, from the aware time `since` until
        before `until`, and with all words of `query` in their title or description.
        """
        offset = offset or 0 if page is None else (page - 1) * limit
        filters = _filters(task_id, action_type, since, until, query)
        after_timestamp, after_history_id = after or (None, None)
        parameters = {
            **filters,
            "limit": limit,
            "offset": offset,
            "after_timestamp": after_timestamp,
            "after_history_id": after_history_id,
        }
        [found] = await self._database.run(_statement_for(filters, offset, after), parameters)
        fold_many(self._database, found.parts)
        pagination = Pagination.of(total_count=found.total_count, offset=found.entries_before, limit=limit)
        is_last = not pagination.has_next or found.last_history_id is None
        return Page(
            json_object(items=found.items, pagination=pagination.model_dump_json()),
            None if is_last else EntryPosition(found.last_timestamp, found.last_history_id),
        )

    def export_history(
        self,
        export_format: ExportFormat,
        task_id: UUID | None = None,
        action_type: ActionType | Collection[ActionType] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        query: str | None = None,
    ) -> AsyncGenerator[bytes]:
        """Return the text of all entries that match, newest first, as `exported` does."""
        filters = _filters(task_id, action_type, since, until, query)
        return exported(self._database, HISTORY_EXPORTS[export_format], filters)

    async def get_entry(self, history_id: UUID) -> JsonText:
        """Return an entry as the JSON of `HistoryEntry`. Raises `EntryNotFound`."""
        parameters = {"history_id": history_id, "undone_by": id_of_undo(history_id)}
        rows = await self._database.run(_ENTRY, parameters)
        if not rows:
            raise EntryNotFound
        return JsonText(rows[0].json)

    async def get_weekly_stats(self, day: date | None = None, zone: str = "UTC") -> JsonText:
        """Return the counts of the week of `day` in an IANA time zone, as the JSON of `WeeklyStats`.

        By default it is the week of today by the database's clock. Raises `InvalidInput` at the ends of the calendar.
        """
        try:
            counted = await count_week(self._database, lambda today: week_of(day or today), ZoneInfo(zone))
        except OverflowError as error:
            raise InvalidInput("date", _NOT_IN_CALENDAR) from error
        [counts], [start, end] = counted.rows, counted.bounds
        stats = WeeklyStats(
            tasks_created_this_week=counts.created,
            tasks_completed_this_week=counts.completed,
            total_completed=counts.all_completed,
            total_incomplete=counts.all_tasks - counts.all_completed,
            total_tasks=counts.all_tasks,
            week_start=start,
            week_end=end - timedelta(seconds=1),
        )
        return JsonText(stats.model_dump_json())

    async def get_daily_stats(self, first: date | None = None, last: date | None = None, zone: str = "UTC") -> JsonText:
        """Return the counts of each day from `first` to `last` in an IANA time zone, as the JSON of `DailyStats`.

        By default they are seven days, up to today by the database's clock. Raises `InvalidInput` if they are not in
        order, are more than 366, or are at the ends of the calendar.
        """
        try:
            counted = await count_days(self._database, days_from_to(first, last), ZoneInfo(zone))
        except OverflowError as error:
            raise InvalidInput("to" if first is None or last == date.max else "from", _NOT_IN_CALENDAR) from error
        days = [
            DayCounts(
                date=counted.days[0] + timedelta(days=number),
                tasks_created=counts.created,
                tasks_completed=counts.completed,
                changes=counts.changes,
            )
            for number, counts in enumerate(counted.rows)
        ]
        return JsonText(DailyStats(tz=zone, days=days).model_dump_json())


def _filters(
    task_id: UUID | None,
    action_type: ActionType | Collection[ActionType] | None,
    since: datetime | None,
    until: datetime | None,
    query: str | None,
) -> dict[str, Any]:
    actions = [action_type] if isinstance(action_type, ActionType) else sorted(set(action_type or ()))
    return {
        "task_id": task_id,
        "action_type": actions[0] if len(actions) == 1 else None,
        "action_types": actions or None,
        "since": since,
        "until": until,
        **word_parameters(query),
    }


def _statement_for(filters: Mapping[str, Any], offset: int, after: EntryPosition | None) -> Statement:
    """Return the statement for a page. For what is asked most often, that is one whose plan is kept."""
    is_of_period = filters["since"] is not None or filters["until"] is not None
    has_words = filters["word_1"] is not None or filters["more_words"] is not None
    has_actions, has_several = filters["action_types"] is not None, len(filters["action_types"] or ()) > 1
    if has_words or (filters["task_id"] is not None and (is_of_period or has_several)):
        return SEARCH
    if is_of_period or has_several:
        return PERIOD_OF_ACTIONS if has_actions else PERIOD
    return page_of_history(tuple(name for name in ("task_id", "action_type") if filters[name]), offset, after)
