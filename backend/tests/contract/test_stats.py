"""GET /stats/weekly."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.client import Api, error_of
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


@pytest.mark.parametrize(
    ("parameters", "start", "end"),
    [
        ({"date": "2026-11-16"}, "2026-11-16T00:00:00Z", "2026-11-22T23:59:59Z"),
        ({"date": "2026-11-22"}, "2026-11-16T00:00:00Z", "2026-11-22T23:59:59Z"),
        ({"date": "2026-11-18", "tz": "UTC"}, "2026-11-16T00:00:00Z", "2026-11-22T23:59:59Z"),
        ({"date": "2026-11-18", "tz": "Europe/Berlin"}, "2026-11-15T23:00:00Z", "2026-11-22T22:59:59Z"),
        # Weeks of 167 and of 169 hours.
        ({"date": "2026-03-29", "tz": "Europe/Berlin"}, "2026-03-22T23:00:00Z", "2026-03-29T21:59:59Z"),
        ({"date": "2026-10-19", "tz": "Europe/Berlin"}, "2026-10-18T22:00:00Z", "2026-10-25T22:59:59Z"),
        ({"date": "2026-11-18", "tz": "Asia/Kathmandu"}, "2026-11-15T18:15:00Z", "2026-11-22T18:14:59Z"),
        ({"date": "2011-12-30", "tz": "Pacific/Apia"}, "2011-12-26T10:00:00Z", "2012-01-01T09:59:59Z"),
        ({"date": "1971-06-01", "tz": "Africa/Monrovia"}, "1971-05-31T00:44:30Z", "1971-06-07T00:44:29Z"),
        ({"date": "0001-01-01"}, "0001-01-01T00:00:00Z", "0001-01-07T23:59:59Z"),
        ({"date": "9999-12-26"}, "9999-12-20T00:00:00Z", "9999-12-26T23:59:59Z"),
    ],
)
def test_a_week_of_any_date_and_zone_holds_its_first_moment_and_its_last(
    api: Api, sql: Sql, parameters: dict[str, str], start: str, end: str
) -> None:
    first, after = datetime.fromisoformat(start), datetime.fromisoformat(end) + timedelta(seconds=1)
    tick = timedelta(microseconds=1)
    if first.year > 1:
        insert_task(sql, created=first - tick, completed=first)
    insert_task(sql, created=first, completed=after - tick)
    insert_task(sql, created=after, completed=after)
    for statement in ("SELECT fold_counts()", "SELECT recount()"):
        stats = api.stats(**parameters)
        assert (stats["week_start"], stats["week_end"]) == (start, end)
        assert stats["tasks_created_this_week"] == 1
        assert stats["tasks_completed_this_week"] == (2 if first.year > 1 else 1)
        assert stats["total_tasks"] == stats["total_completed"] == (3 if first.year > 1 else 2)
        sql(statement)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/St_Johns"])
def test_the_present_week_of_a_zone_holds_this_moment(api: Api, zone: str) -> None:
    api.create_task()
    stats = api.stats(tz=zone)
    assert stats["tasks_created_this_week"] == stats["total_tasks"] == 1
    assert stats["week_start"] <= api.list_tasks()[0]["created_at"] <= stats["week_end"]


BAD_DATES = [
    *("", " ", "2026-11-1", "2026-11-31", "2026-02-29", "0000-01-01", "10000-01-01", "20261118", "2026-W47-3"),
    *("2026-11-18T00:00:00Z", " 2026-11-18", "2026-11-18\n", "-2026-11-18", "today", "2026-13-01", "\u0662026-11-18"),
    *("0" * 10_000, "2026-11-18\0"),
]
BAD_ZONES = [
    *("", " ", "../../etc/passwd", "/etc/localtime", "Europe/", "Europe", "Europe/Berlin/", "Europe//Berlin", "CEST"),
    *("europe/berlin", "Europe/Berlin ", "Europe/Berlin\0", "\0", "localtime", "posixrules", "posix/UTC", "right/UTC"),
    *("tzdata.zi", "zone.tab", "+01:00", "UTC+1", "x" * 10_000, "Europe/../Europe/Berlin", "\u0415urope/Berlin"),
]


@pytest.mark.parametrize("path", ["/stats/weekly", "/stats/daily"])
@pytest.mark.parametrize("zone", BAD_ZONES, ids=lambda zone: repr(zone[:20]))
def test_an_unknown_zone_is_refused(api: Api, path: str, zone: str) -> None:
    response = api.get(path, params={"tz": zone})
    assert error_of(response, 400) == "tz: must be an IANA time zone such as Europe/Berlin"


@pytest.mark.parametrize(
    ("path", "name"), [("/stats/weekly", "date"), ("/stats/daily", "from"), ("/stats/daily", "to")]
)
@pytest.mark.parametrize("date", BAD_DATES, ids=lambda date: repr(date[:20]))
def test_what_is_not_a_date_is_refused(api: Api, path: str, name: str, date: str) -> None:
    assert error_of(api.get(path, params={name: date}), 400) == f"{name}: must be a date such as 2026-11-18"


@pytest.mark.parametrize(
    ("path", "parameters", "name"),
    [
        ("/stats/weekly", {"date": "9999-12-31"}, "date"),
        ("/stats/weekly", {"date": "0001-01-07", "tz": "Europe/Berlin"}, "date"),
        ("/stats/daily", {"from": "9999-12-30"}, "from"),
        ("/stats/daily", {"from": "9999-12-30", "to": "9999-12-31"}, "to"),
        ("/stats/daily", {"to": "0001-01-06"}, "to"),
        ("/stats/daily", {"from": "0001-01-01", "to": "0001-01-02", "tz": "Europe/Berlin"}, "from"),
    ],
)
def test_the_ends_of_the_calendar_are_refused(api: Api, path: str, parameters: dict[str, str], name: str) -> None:
    sentence = "must be further from the ends of the calendar, the years 1 and 9999"
    assert error_of(api.get(path, params=parameters), 400) == f"{name}: {sentence}"
