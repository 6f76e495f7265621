"""GET /stats/weekly."""

from datetime import UTC, datetime, timedelta

from tests.support.client import Api
from tests.support.databases import Sql

COUNTS = [
    "tasks_created_this_week",
    "tasks_completed_this_week",
    "total_completed",
    "total_incomplete",
    "total_tasks",
]


def counts(api: Api) -> list[int]:
    stats = api.stats()
    assert list(stats) == [*COUNTS, "week_start", "week_end"]
    return [stats[name] for name in COUNTS]


def insert_task(sql: Sql, created: datetime, completed: datetime | None = None) -> None:
    sql(
        "INSERT INTO tasks VALUES"
        " (gen_random_uuid(), 'Task', NULL, :completed IS NOT NULL, :created, :created, :completed)".replace(
            ":completed", "CAST(:completed AS timestamptz)"
        ),
        created=created,
        completed=completed,
    )


def this_week() -> tuple[datetime, datetime]:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    return monday, monday + timedelta(days=7)


def test_an_empty_database_counts_nothing(api: Api) -> None:
    assert counts(api) == [0, 0, 0, 0, 0]


def test_tasks_are_counted_as_they_are_created_and_completed(api: Api) -> None:
    tasks = [api.create_task() for _ in range(3)]
    assert counts(api) == [3, 0, 0, 3, 3]
    api.complete_task(tasks[0]["id"])
    api.complete_task(tasks[1]["id"])
    assert counts(api) == [3, 2, 2, 1, 3]
    api.reopen_task(tasks[0]["id"])
    assert counts(api) == [3, 1, 1, 2, 3]


def test_deleted_tasks_are_not_counted(api: Api) -> None:
    tasks = [api.create_task() for _ in range(3)]
    api.complete_task(tasks[0]["id"])
    api.delete_task(tasks[0]["id"])
    api.delete_task(tasks[1]["id"])
    assert counts(api) == [1, 0, 0, 1, 1]


def test_the_week_runs_from_monday_to_sunday_in_utc(api: Api) -> None:
    monday, next_monday = this_week()
    stats = api.stats()
    assert stats["week_start"] == monday.strftime("%Y-%m-%dT00:00:00Z")
    assert stats["week_end"] == (next_monday - timedelta(seconds=1)).strftime("%Y-%m-%dT23:59:59Z")
    assert datetime.fromisoformat(stats["week_start"]).weekday() == 0
    assert datetime.fromisoformat(stats["week_end"]).weekday() == 6


def test_the_first_and_the_last_moment_of_the_week_belong_to_it(api: Api, sql: Sql) -> None:
    monday, next_monday = this_week()
    tick = timedelta(microseconds=1)
    insert_task(sql, created=monday - tick, completed=monday)
    insert_task(sql, created=monday, completed=next_monday - tick)
    insert_task(sql, created=next_monday - tick, completed=next_monday)
    insert_task(sql, created=monday - tick, completed=monday - tick)
    assert counts(api) == [2, 2, 4, 0, 4]


def test_tasks_of_other_weeks_count_only_in_the_totals(api: Api, sql: Sql) -> None:
    monday, _ = this_week()
    insert_task(sql, created=monday - timedelta(weeks=2), completed=monday - timedelta(weeks=1))
    insert_task(sql, created=monday - timedelta(weeks=2))
    assert counts(api) == [0, 0, 1, 1, 2]
