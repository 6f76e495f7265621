"""Counts of the tasks and of the entries of days and weeks, in any time zone.

The bounds of a period are moments. If all of them are at the start of a quarter of an hour, which they are in every
zone since 1980, the maintained counts hold the answer: each of their UTC days has a number for each quarter (see
alembic/versions/0006_quarters_of_days.py). Else the rows are counted, which takes longer the more there are.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text

from src.database.connection import Rows
from src.database.database import Database
from src.database.statement import PLAN_FOR_ANY_PARAMETERS, Statement
from src.exceptions.errors import InvalidInput
from src.services.counting import ENTRY_KINDS, fold_many
from src.utils.calendar_days import Quarter, bounds_of, bounds_of_each, quarters

_TASK_KINDS = "kind IN ('task created', 'task completed')"

# All text below is made of the constants above, so no caller's input gets into it.
# ruff: noqa: S608


def _of_counts(start_day: str, start_quarter: str, end_day: str, end_quarter: str) -> str:
    """Return the number of a row of `counts` that is between two bounds. Its day is within them."""
    # No element has the index 0: nothing comes before the first quarter.
    return f"""
        CASE WHEN day < {end_day} THEN count ELSE coalesce(quarters[{end_quarter}], 0) END
        - CASE WHEN day = {start_day} THEN coalesce(quarters[{start_quarter}], 0) ELSE 0 END
    """


def _is_between(start_day: str, start_quarter: str, end_day: str, end_quarter: str) -> str:
    """Return the condition for a row of `count_changes` to be between two bounds."""
    return f"(day, quarter) >= ({start_day}, {start_quarter}) AND (day, quarter) < ({end_day}, {end_quarter})"


def _sum(counts: str, kinds: str) -> str:
    return f"CAST(coalesce(sum({counts}) FILTER (WHERE {kinds}), 0) AS bigint)"


_PARAMETERS = ("start_day", "start_quarter", "end_day", "end_quarter")
_WEEK = (
    "CAST(:start_day AS date)",
    "CAST(:start_quarter AS integer)",
    "CAST(:end_day AS date)",
    "CAST(:end_quarter AS integer)",
)
WEEKLY_COUNTS = Statement(
    "weekly_counts",
    "Counts the tasks created and completed in a week, and all tasks.",
    text(f"""
        WITH part AS (
            SELECT kind, count AS of_all, 0 AS of_week
            FROM counts
            WHERE {_TASK_KINDS} AND day IS NULL
            UNION ALL
            SELECT kind, 0, {_of_counts(*_WEEK)}
            FROM counts
            WHERE {_TASK_KINDS} AND day BETWEEN {_WEEK[0]} AND {_WEEK[2]}
            UNION ALL
            SELECT kind, change, CASE WHEN {_is_between(*_WEEK)} THEN change ELSE 0 END
            FROM count_changes
            WHERE {_TASK_KINDS}
        )
        SELECT
            {_sum("of_week", "kind = 'task created'")} AS created,
            {_sum("of_week", "kind = 'task completed'")} AS completed,
            {_sum("of_all", "kind = 'task created'")} AS all_tasks,
            {_sum("of_all", "kind = 'task completed'")} AS all_completed,
            count(*) AS parts,
            now() AS now
        FROM part
    """),
    prefix=PLAN_FOR_ANY_PARAMETERS,
)

DAILY_COUNTS = Statement(
    "daily_counts",
    "Counts, for each of some days, the tasks created and completed and the entries of the history.",
    text(f"""
        WITH pending AS MATERIALIZED (
            SELECT kind, day, quarter, CAST(sum(change) AS bigint) AS change, count(*) AS parts
            FROM count_changes
            GROUP BY kind, day, quarter
        )
        SELECT counted.*, (SELECT CAST(coalesce(sum(parts), 0) AS bigint) FROM pending) AS parts, now() AS now
        FROM unnest(
            CAST(:start_day AS date[]), CAST(:start_quarter AS integer[]),
            CAST(:end_day AS date[]), CAST(:end_quarter AS integer[])
        ) WITH ORDINALITY AS period (start_day, start_quarter, end_day, end_quarter, number)
        CROSS JOIN LATERAL (
            SELECT
                {_sum("count", "kind = 'task created'")} AS created,
                {_sum("count", "kind = 'task completed'")} AS completed,
                {_sum("count", ENTRY_KINDS)} AS changes
            FROM (
                SELECT kind, {_of_counts(*_PARAMETERS)} AS count
                FROM counts
                WHERE day BETWEEN start_day AND end_day
                UNION ALL
                SELECT kind, change
                FROM pending
                WHERE {_is_between(*_PARAMETERS)}
            ) part
        ) counted
        ORDER BY number
    """),
    prefix=PLAN_FOR_ANY_PARAMETERS,
)

_MOMENTS = "CAST(:moments AS timestamptz[])"


def _rows_by_period(table: str, column: str) -> str:
    return f"""
        (
            SELECT width_bucket({column}, {_MOMENTS}) AS number, count(*) AS count
            FROM {table}
            WHERE {column} >= ({_MOMENTS})[1] AND {column} < ({_MOMENTS})[cardinality({_MOMENTS})]
            GROUP BY 1
        )
    """


COUNTS_OF_ROWS = Statement(
    "counts_of_rows",
    "Counts the rows of each period between moments, and all tasks: slow, but for any moments.",
    text(f"""
        SELECT
            coalesce(created.count, 0) AS created,
            coalesce(completed.count, 0) AS completed,
            coalesce(changed.count, 0) AS changes,
            (SELECT count(*) FROM tasks) AS all_tasks,
            (SELECT count(*) FROM tasks WHERE is_completed) AS all_completed,
            0 AS parts,
            now() AS now
        FROM generate_series(1, cardinality({_MOMENTS}) - 1) AS number
        LEFT JOIN {_rows_by_period("tasks", "created_at")} AS created USING (number)
        LEFT JOIN {_rows_by_period("tasks", "completed_at")} AS completed USING (number)
        LEFT JOIN {_rows_by_period("task_history", "timestamp")} AS changed USING (number)
        ORDER BY number
    """),
    may_be_slow=True,
)

# The first and the last.
Days = tuple[date, date]


_MOST_DAYS_APART, _DEFAULT_DAYS_APART = timedelta(days=365), timedelta(days=6)


def days_from_to(first: date | None, last: date | None) -> Callable[[date], Days]:
    """Return the days that a caller asked for, depending on the present date: seven by default, up to today.

    Raises `InvalidInput` if they are not in order, or are more than 366.
    """
    if first is not None and last is not None:
        if first > last:
            raise InvalidInput("from", "must not be after to")
        if last - first > _MOST_DAYS_APART:
            raise InvalidInput("to", f"must be at most {_MOST_DAYS_APART.days} days after from")

    def days_at(today: date) -> Days:
        end = last or (today if first is None else first + _DEFAULT_DAYS_APART)
        return first or end - _DEFAULT_DAYS_APART, end

    return days_at


class Counted(NamedTuple):
    """Days, the moments between them, and the rows of their counts."""

    days: Days
    bounds: list[datetime]
    rows: Rows


async def count_week(database: Database, days_at: Callable[[date], Days], zone: ZoneInfo) -> Counted:
    """Count the tasks of a week in `zone`, which depends on the present date there, and all tasks, in one row.

    Raises `OverflowError` if the week is not in the years 1 to 9999 in UTC.
    """

    def parameters(starts: list[Quarter]) -> dict[str, Any]:
        [start, end] = starts
        return dict(zip(_PARAMETERS, (*start, *end), strict=True))

    return await _count(database, days_at, zone, bounds_of, WEEKLY_COUNTS, parameters)


async def count_days(database: Database, days_at: Callable[[date], Days], zone: ZoneInfo) -> Counted:
    """Count the tasks and the entries of each day, in a row for each. Raises as `count_week`."""

    def parameters(starts: list[Quarter]) -> dict[str, Any]:
        days, numbers = ([quarter[part] for quarter in starts] for part in (0, 1))
        return dict(zip(_PARAMETERS, (days[:-1], numbers[:-1], days[1:], numbers[1:]), strict=True))

    return await _count(database, days_at, zone, bounds_of_each, DAILY_COUNTS, parameters)


async def _count(
    database: Database,
    days_at: Callable[[date], Days],
    zone: ZoneInfo,
    bounds: Callable[[date, date, ZoneInfo], list[datetime]],
    statement: Statement,
    parameters: Callable[[list[Quarter]], dict[str, Any]],
) -> Counted:
    today = datetime.now(zone).date()
    while True:
        days = days_at(today)
        moments = bounds(*days, zone)
        starts = quarters(moments)
        if starts is None:
            rows = await database.run(COUNTS_OF_ROWS, {"moments": moments})
        else:
            rows = await database.run(statement, parameters(starts))
        # The present is that of the database's clock, as in `created_at`: the service's may be in another week.
        today = rows[0].now.astimezone(zone).date()
        if days_at(today) == days:
            fold_many(database, rows[0].parts)
            return Counted(days, moments, rows)
