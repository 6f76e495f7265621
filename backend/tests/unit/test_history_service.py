"""HistoryService on a real PostgreSQL, and the arithmetic of pages without one."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from src.database.database import Database
from src.models import ActionType
from src.schemas.history import HistoryEntry, PaginatedHistory, Pagination
from src.schemas.stats import WeeklyStats
from src.services.history_service import HistoryService
from src.services.task_service import ChangedTask, TaskService
from src.utils.cursors import Page
from tests.support.databases import AS_REPLICA, Sql


@pytest.fixture
def history(database: Database) -> HistoryService:
    return HistoryService(database)


@pytest.fixture
def tasks(database: Database) -> TaskService:
    return TaskService(database)


def id_of(task: ChangedTask) -> UUID:
    return UUID(json.loads(task.json)["id"])


def read(page: Page) -> PaginatedHistory:
    return PaginatedHistory.model_validate_json(page.data)


@pytest.mark.parametrize(
    ("total_count", "offset", "limit", "expected"),
    [
        # total_pages, current_page, has_next, has_prev
        (0, 0, 10, (0, 1, False, False)),
        (1, 0, 10, (1, 1, False, False)),
        (10, 0, 10, (1, 1, False, False)),
        (11, 0, 10, (2, 1, True, False)),
        (11, 10, 10, (2, 2, False, True)),
        (100, 50, 10, (10, 6, True, True)),
        (100, 99, 1, (100, 100, False, True)),
        (10, 3, 5, (2, 1, True, True)),  # An offset within the first page still has entries before it.
        (5, 20, 10, (1, 3, False, True)),  # Past the end.
        (2**40, 2**39, 100, (10_995_116_278, 5_497_558_139, True, True)),
    ],
)
def test_pagination_is_exact(total_count: int, offset: int, limit: int, expected: tuple[Any, ...]) -> None:
    pagination = Pagination.of(total_count=total_count, offset=offset, limit=limit)
    assert (pagination.total_count, pagination.page_size) == (total_count, limit)
    assert (
        pagination.total_pages,
        pagination.current_page,
        pagination.has_next,
        pagination.has_prev,
    ) == expected


async def test_a_page_is_json_of_its_schema(history: HistoryService, tasks: TaskService) -> None:
    for title in ("a", "quotes \" ' \\ and \x01\x1f\x7f controls", "\u2028 \U0001f6d2"):
        await tasks.create_task(title)

    page = await history.get_history_paginated(limit=2)

    assert page.data == read(page).model_dump_json()
    assert len(read(page).items) == 2


async def test_an_entry_has_the_keys_and_values_of_its_schema(
    history: HistoryService, tasks: TaskService, sql: Sql
) -> None:
    for title in ("a", "quotes \" ' \\ and \x01\x1f\x7f controls", "\u2028 \U0001f6d2"):
        task_id = id_of(await tasks.create_task(title, title))
        await tasks.update_task(task_id, f"{title}!")
        await tasks.mark_complete(task_id)
        await tasks.mark_incomplete(task_id)
        await tasks.delete_task(task_id)
        for [history_id] in sql(
            "SELECT history_id FROM task_history WHERE task_id = :id ORDER BY timestamp DESC", id=task_id
        ):
            await tasks.undo(history_id)
    ids = [history_id for [history_id] in sql("SELECT history_id FROM task_history")]
    assert len(ids) == 30
    for history_id in ids:
        text = await history.get_entry(history_id)
        entry = HistoryEntry.model_validate_json(text)
        # Objects are equal whatever the order of their keys, and texts are not.
        assert json.dumps(json.loads(text)) == json.dumps(json.loads(entry.model_dump_json()))
        assert entry.history_id == history_id


async def test_page_counts_from_one_and_wins_over_offset(history: HistoryService, tasks: TaskService) -> None:
    for number in range(5):
        await tasks.create_task(f"Task {number}")

    assert await history.get_history_paginated(page=2, limit=2) == await history.get_history_paginated(
        offset=2, limit=2
    )
    assert await history.get_history_paginated(page=2, limit=2, offset=0) == await history.get_history_paginated(
        page=2, limit=2
    )
    assert await history.get_history_paginated() == await history.get_history_paginated(page=1, limit=10)


async def test_filters_select_entries(history: HistoryService, tasks: TaskService) -> None:
    task_id = id_of(await tasks.create_task("a"))
    await tasks.create_task("b")
    await tasks.mark_complete(task_id)

    of_task = read(await history.get_history_paginated(task_id=task_id))
    assert [entry.action_type for entry in of_task.items] == [ActionType.COMPLETED, ActionType.CREATED]
    created = read(await history.get_history_paginated(action_type=ActionType.CREATED))
    assert created.pagination.total_count == 2
    both = read(await history.get_history_paginated(task_id=task_id, action_type=ActionType.CREATED))
    assert both.pagination.total_count == 1


async def test_entries_of_one_moment_keep_their_order_across_pages(history: HistoryService, sql: Sql) -> None:
    sql(
        f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), gen_random_uuid(), 'CREATED', 'x', now()"
        " FROM generate_series(1, 30)"
    )
    one_by_one = [read(await history.get_history_paginated(page=number, limit=1)).items[0] for number in range(1, 31)]
    assert one_by_one == read(await history.get_history_paginated(limit=30)).items
    ids = [entry.history_id for entry in one_by_one]
    assert ids == sorted(set(ids), reverse=True)


async def test_the_week_counted_is_that_of_the_given_day(history: HistoryService, tasks: TaskService) -> None:
    await tasks.mark_complete(id_of(await tasks.create_task("a")))
    await tasks.create_task("b")
    today = datetime.now(UTC).date()

    this_week = WeeklyStats.model_validate_json(await history.get_weekly_stats(today))
    next_week = WeeklyStats.model_validate_json(await history.get_weekly_stats(today + timedelta(weeks=1)))

    assert (this_week.tasks_created_this_week, this_week.tasks_completed_this_week) == (2, 1)
    assert (next_week.tasks_created_this_week, next_week.tasks_completed_this_week) == (0, 0)
    assert next_week.week_start - this_week.week_start == timedelta(weeks=1)
    for stats in (this_week, next_week):
        assert (stats.total_tasks, stats.total_completed, stats.total_incomplete) == (2, 1, 1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize("time_zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize(
    ("moment", "monday"),
    [
        (utc(2026, 11, 16), utc(2026, 11, 16)),  # The first moment of a week.
        (utc(2026, 11, 20, 14, 30), utc(2026, 11, 16)),
        (utc(2026, 11, 22, 23, 59, 59, 999_999), utc(2026, 11, 16)),  # The last one.
        (utc(2026, 11, 23), utc(2026, 11, 23)),
        (utc(2026, 1, 1), utc(2025, 12, 29)),  # A Thursday whose week began in the year before.
        (utc(2024, 12, 31), utc(2024, 12, 30)),
        (utc(2024, 2, 29), utc(2024, 2, 26)),
        (utc(2026, 3, 29, 1, 30), utc(2026, 3, 23)),  # Europe's clocks change within this week; UTC's do not.
        # A Sunday evening in New York.
        (datetime(2026, 11, 22, 20, 0, tzinfo=timezone(timedelta(hours=-5))), utc(2026, 11, 23)),
    ],
)
async def test_a_week_begins_on_its_monday_and_ends_on_its_sunday_wherever_the_server_is(
    history: HistoryService, sql: Sql, time_zone: str, moment: datetime, monday: datetime
) -> None:
    [(name,)] = sql("SELECT current_database()")
    sql(f"ALTER DATABASE {name} SET timezone = '{time_zone}'")
    for at in (monday - timedelta(microseconds=1), monday, monday + timedelta(days=7, microseconds=-1)):
        sql("INSERT INTO tasks VALUES (gen_random_uuid(), 'x', NULL, false, :at, :at, NULL)", at=at)

    stats = WeeklyStats.model_validate_json(await history.get_weekly_stats(moment.astimezone(UTC).date()))

    assert (stats.week_start, stats.week_end) == (monday, monday + timedelta(days=7, seconds=-1))
    assert (stats.tasks_created_this_week, stats.total_tasks) == (2, 3)


async def test_the_present_week_is_that_of_the_clock_of_the_database(
    history: HistoryService, tasks: TaskService, sql: Sql
) -> None:
    """The database looks for `now()` first where there is one of two weeks later."""
    [(name,)] = sql("SELECT current_database()")
    sql(
        "CREATE SCHEMA later; CREATE FUNCTION later.now() RETURNS timestamptz STABLE LANGUAGE sql"
        " RETURN pg_catalog.now() + interval '14 days';"
        f"ALTER DATABASE {name} SET search_path = later, pg_catalog, public"
    )
    await tasks.create_task("x")

    stats = WeeklyStats.model_validate_json(await history.get_weekly_stats())

    assert stats.week_start > datetime.now(UTC)
    assert stats.tasks_created_this_week == 1
