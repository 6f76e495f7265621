"""GET /stats/daily."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.client import Api, data_of, error_of
from tests.support.databases import AS_REPLICA, Sql

DAY = timedelta(days=1)


def daily(api: Api, **parameters: str) -> Any:
    return data_of(api.get("/stats/daily", params=parameters))


def dates(api: Api, **parameters: str) -> list[str]:
    return [day["date"] for day in daily(api, **parameters)["days"]]


def test_existing_tasks_and_all_entries_are_counted(api: Api) -> None:
    tasks = [api.create_task() for _ in range(3)]
    api.complete_task(tasks[0]["id"])
    api.complete_task(tasks[1]["id"])
    api.delete_task(tasks[1]["id"])

    stats = daily(api)

    assert list(stats) == ["tz", "days"]
    assert [list(day) for day in stats["days"]] == [["date", "tasks_created", "tasks_completed", "changes"]] * 7
    # Midnight may have passed meanwhile.
    counts = [sum(day[name] for day in stats["days"]) for name in ("tasks_created", "tasks_completed", "changes")]
    assert counts == [2, 1, 6]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_last_seven_days_of_the_zone_are_counted(api: Api, zone: str | None) -> None:
    there, given = ZoneInfo(zone or "UTC"), {} if zone is None else {"tz": zone}
    before = datetime.now(there).date()
    stats = daily(api, **given)
    after = datetime.now(there).date()
    assert stats["tz"] == there.key
    days = [date.fromisoformat(day["date"]) for day in stats["days"]]
    assert before <= days[-1] <= after
    assert days == [days[-1] - number * DAY for number in range(6, -1, -1)]


@pytest.mark.parametrize(
    ("first", "last", "number", "shown"),
    [
        ("2026-11-09", "2026-11-15", 7, ("2026-11-09", "2026-11-15")),
        ("2026-11-18", "2026-11-18", 1, ("2026-11-18", "2026-11-18")),
        ("2025-11-18", "2026-11-18", 366, ("2025-11-18", "2026-11-18")),
        ("2026-11-18", None, 7, ("2026-11-18", "2026-11-24")),
        (None, "2026-11-18", 7, ("2026-11-12", "2026-11-18")),
        ("3000-01-01", None, 7, ("3000-01-01", "3000-01-07")),
        (None, "0001-01-07", 7, ("0001-01-01", "0001-01-07")),
    ],
)
def test_no_day_is_left_out(api: Api, first: str | None, last: str | None, number: int, shown: tuple[str, str]) -> None:
    given = {name: value for name, value in {"from": first, "to": last}.items() if value is not None}
    days = dates(api, **given)
    assert (len(days), days[0], days[-1]) == (number, *shown)
    assert len(set(days)) == number
    assert days == sorted(days)


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [
        ("2026-11-18", "2026-11-17", "from: must not be after to"),
        ("2025-11-17", "2026-11-18", "to: must be at most 365 days after from"),
        ("0001-01-01", "9999-12-31", "to: must be at most 365 days after from"),
    ],
)
def test_days_out_of_order_and_too_many_are_refused(api: Api, first: str, last: str, error: str) -> None:
    assert error_of(api.get("/stats/daily", params={"from": first, "to": last}), 400) == error


def test_an_entry_counts_on_the_day_of_its_zone_also_after_its_task_is_gone(api: Api, sql: Sql) -> None:
    entry = (
        f"{AS_REPLICA}INSERT INTO task_history"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 'DELETED', 'x', '2026-11-17T22:59:59.999999Z'),"
        " (gen_random_uuid(), gen_random_uuid(), 'DELETED', 'x', '2026-11-17T23:00:00Z')"
    )
    sql(entry)
    period = {"from": "2026-11-17", "to": "2026-11-18"}
    for statement in ("SELECT fold_counts()", "SELECT recount()"):
        assert [day["changes"] for day in daily(api, tz="Europe/Berlin", **period)["days"]] == [1, 1]
        assert [day["changes"] for day in daily(api, **period)["days"]] == [2, 0]
        sql(statement)


def test_a_day_that_a_zone_skipped_has_no_hours(api: Api, sql: Sql) -> None:
    """Samoa went from 29 December 2011 to the 31st, at 10:00 UTC."""
    task = "INSERT INTO tasks VALUES (gen_random_uuid(), 'x', NULL, false, :at, :at, NULL)"
    for at in ("2011-12-30T09:59:59.999999Z", "2011-12-30T10:00:00Z"):
        sql(task, at=at)
    stats = daily(api, tz="Pacific/Apia", to="2011-12-31")
    assert [(day["date"][-2:], day["tasks_created"]) for day in stats["days"]][-3:] == [("29", 1), ("30", 0), ("31", 1)]
