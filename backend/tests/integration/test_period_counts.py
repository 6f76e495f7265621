"""The counts of weeks and days equal a plain count of the rows by their dates, in any time zone."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.audit import MISCOUNTED
from tests.support.client import Api, data_of
from tests.support.databases import AS_REPLICA, Sql

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
# A zone and the middle of the days to count.
PLACES = {
    "UTC": "2026-11-18",
    "Europe/Berlin": "2026-10-25",
    "America/New_York": "2026-03-08",
    "Asia/Kolkata": "2026-11-18",
    "Asia/Kathmandu": "1985-12-31",
    "Australia/Lord_Howe": "2026-04-05",
    "Pacific/Apia": "2011-12-30",
    "Pacific/Chatham": "2026-09-27",
    "America/St_Johns": "2026-11-01",
    "America/Havana": "2026-03-08",
    "Africa/Monrovia": "1972-01-07",
}
FOLD = "SELECT fold_counts()"
# Each step is done after those before it, and the counts must be right after each.
STEPS = ["write", FOLD, "write", "change", FOLD, "change", "SELECT recount()", "write", FOLD]

TASKS = (
    "INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, completed IS NOT NULL, created, created, completed"
    " FROM unnest(cast(:created AS timestamptz[]), cast(:completed AS timestamptz[])) AS at (created, completed)"
)
ENTRIES = (
    f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), gen_random_uuid(), 'UPDATED', 'x', at"
    " FROM unnest(cast(:times AS timestamptz[])) AS at"
)
CHANGES = [
    "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks ORDER BY id LIMIT 20)",
    (
        "UPDATE tasks SET is_completed = false, completed_at = NULL"
        " WHERE id IN (SELECT id FROM tasks WHERE is_completed ORDER BY id DESC LIMIT 20)"
    ),
    (
        "UPDATE tasks SET created_at = created_at + interval '12 hours 20 minutes'"
        " WHERE id IN (SELECT id FROM tasks ORDER BY id LIMIT 30)"
    ),
]


class Place:
    """A time zone, and days there."""

    def __init__(self, name: str) -> None:
        self.name, self.zone = name, ZoneInfo(name)
        self.middle = date.fromisoformat(PLACES[name])
        self.chance = random.Random(name)  # noqa: S311

    def moments(self, number: int) -> list[datetime]:
        """Return times of some weeks, a third of them next to a midnight, and a third next to a quarter of an hour."""
        near = [-TICK, timedelta(), TICK]
        return [
            datetime.combine(
                self.middle + self.chance.randrange(-18, 18) * DAY,
                time(self.chance.choice([0, self.chance.randrange(24)]), self.chance.choice([0, 0, 15, 30, 45])),
                self.zone,
            ).astimezone(UTC)
            + self.chance.choice([*near, *near, self.chance.random() * DAY])
            for _ in range(number)
        ]

    def date_of(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def days_counted(self, api: Api, first: date, last: date) -> Any:
        return data_of(api.get("/stats/daily", params={"from": str(first), "to": str(last), "tz": self.name}))["days"]

    def days_there(self, sql: Sql, first: date, last: date) -> list[dict[str, Any]]:
        created, completed, changes = (Counter(map(self.date_of, times)) for times in times_in(sql))
        days = [first + number * DAY for number in range((last - first).days + 1)]
        return [
            {
                "date": str(day),
                "tasks_created": created[day],
                "tasks_completed": completed[day],
                "changes": changes[day],
            }
            for day in days
        ]


def times_in(sql: Sql) -> tuple[Sequence[datetime], Sequence[datetime], Sequence[datetime]]:
    """Return when the tasks were created and completed, and the times of the entries."""
    tasks = sql("SELECT created_at, completed_at FROM tasks")
    entries = [entry.timestamp for entry in sql("SELECT timestamp FROM task_history")]
    return [task.created_at for task in tasks], [task.completed_at for task in tasks if task.completed_at], entries


def take(step: str, place: Place, sql: Sql) -> None:
    if step == "write":
        completed = [place.chance.choice([None, moment]) for moment in place.moments(60)]
        sql(TASKS, created=place.moments(60), completed=completed)
        sql(ENTRIES, times=place.moments(60))
    elif step == "change":
        for change in CHANGES:
            sql(change)
    else:
        sql(step)


@pytest.mark.parametrize("name", PLACES)
def test_weeks_and_days_count_the_rows_of_their_dates(api: Api, sql: Sql, name: str) -> None:
    place = Place(name)
    first, last = place.middle - 21 * DAY, place.middle + 21 * DAY
    for step in STEPS:
        take(step, place, sql)
        days = place.days_there(sql, first, last)
        assert place.days_counted(api, first, last) == days
        assert sum(day["changes"] for day in days) == sql("SELECT count(*) FROM task_history")[0][0]
        monday = first - first.weekday() * DAY + 7 * DAY
        while monday + 6 * DAY < last:
            week = api.stats(date=str(monday + place.chance.randrange(7) * DAY), tz=name)
            of_week = days[(monday - first).days :][:7]
            for kind in ("tasks_created", "tasks_completed"):
                assert week[f"{kind}_this_week"] == sum(day[kind] for day in of_week)
            monday += 7 * DAY
    assert sql(MISCOUNTED) == []


def test_a_truncation_empties_every_day_but_keeps_its_entries(api: Api, sql: Sql) -> None:
    place = Place("Asia/Kathmandu")
    first, last = place.middle - 21 * DAY, place.middle + 21 * DAY
    for step in ("write", FOLD, "write", "TRUNCATE tasks"):
        take(step, place, sql)
    for step in ("write", FOLD, "SELECT recount()"):
        assert place.days_counted(api, first, last) == place.days_there(sql, first, last)
        take(step, place, sql)
    assert sql(MISCOUNTED) == []
