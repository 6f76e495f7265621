"""When the days and weeks of a time zone begin."""

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from src.utils.calendar_days import bounds_of, bounds_of_each, first_moment, quarters, week_of, zone_names

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("UTC", "2026-11-18", "2026-11-18T00:00"),
        ("Europe/Berlin", "2026-11-18", "2026-11-17T23:00"),
        ("Asia/Kathmandu", "2026-11-18", "2026-11-17T18:15"),
        ("Pacific/Chatham", "2026-11-18", "2026-11-17T10:15"),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00"),
        ("Australia/Lord_Howe", "2026-04-06", "2026-04-05T13:30"),
        # Cuba's clocks skip the first hour of this day.
        ("America/Havana", "2026-03-08", "2026-03-08T05:00"),
        # At 00:01, Newfoundland's clocks went back to 23:01: of two midnights, the first.
        ("America/St_Johns", "2006-10-29", "2006-10-29T02:30"),
        # Beirut's clocks go back at midnight to 23:00: there is one midnight, an hour later.
        ("Asia/Beirut", "2026-10-25", "2026-10-24T22:00"),
        # Toronto's clocks skipped from 23:30 to 00:30, with midnight in the middle.
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30"),
        # Samoa has skipped this day.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),
        ("Africa/Monrovia", "1971-06-01", "1971-06-01T00:44:30"),
    ],
)
def test_a_day_begins_at_its_first_moment(zone: str, day: str, begins: str) -> None:
    assert first_moment(date.fromisoformat(day), ZoneInfo(zone)) == utc(begins)


@pytest.mark.parametrize("zone", [*sorted(zone_names())[::20], "Pacific/Apia", "Pacific/Kwajalein", "America/Toronto"])
def test_no_moment_before_the_first_has_its_date_or_a_later_one(zone: str) -> None:
    there, chance = ZoneInfo(zone), random.Random(zone)  # noqa: S311
    first = date(1880, 1, 1) + chance.randrange(50_000) * DAY
    days = bounds_of_each(first, first + 3000 * DAY, there)
    assert days == sorted(days)
    for number, moment in enumerate(days):
        day = first + number * DAY
        assert (moment - SECOND).astimezone(there).date() < day <= moment.astimezone(there).date()


def test_the_days_of_every_zone_begin_with_a_quarter_of_an_hour_since_1980() -> None:
    for zone in sorted(zone_names()):
        there, chance = ZoneInfo(zone), random.Random(zone)  # noqa: S311
        days = [date(1980, 1, 1) + chance.randrange(25_000) * DAY for _ in range(100)]
        assert quarters([first_moment(day, there) for day in days]) is not None, zone


@pytest.mark.parametrize(
    ("moment", "quarter"),
    [
        ("2026-11-18T00:00", (date(2026, 11, 18), 0)),
        ("2026-11-17T18:15", (date(2026, 11, 17), 73)),
        ("2026-11-17T23:45", (date(2026, 11, 17), 95)),
        ("0001-01-01T00:00", (date(1, 1, 1), 0)),
        ("1971-06-01T00:44:30", None),
        ("2026-11-18T00:00:01", None),
        ("2026-11-18T00:00:00.000001", None),
        ("2026-11-18T00:01", None),
    ],
)
def test_a_moment_may_begin_a_quarter_of_an_hour(moment: str, quarter: tuple[date, int] | None) -> None:
    expected = None if quarter is None else [(date(2026, 1, 1), 0), quarter]
    assert quarters([utc("2026-01-01T00:00"), utc(moment)]) == expected


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-25", 167), ("2026-03-30", 168), ("2026-10-25", 169), ("2026-10-26", 168)]
)
def test_a_week_has_the_hours_that_the_clock_gives_it(day: str, hours: int) -> None:
    start, end = bounds_of(*week_of(date.fromisoformat(day)), ZoneInfo("Europe/Berlin"))
    assert end - start == timedelta(hours=hours)


@pytest.mark.parametrize("day", ["2026-11-16", "2026-11-18", "2026-11-22"])
def test_a_week_runs_from_monday_to_sunday(day: str) -> None:
    assert week_of(date.fromisoformat(day)) == (date(2026, 11, 16), date(2026, 11, 22))


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Berlin", date.min), ("UTC", date.max), ("America/New_York", date.max)]
)
def test_the_ends_of_the_calendar_have_no_moment(zone: str, day: date) -> None:
    with pytest.raises(OverflowError):
        bounds_of(day, day, ZoneInfo(zone))


def test_zones_are_known_by_the_names_of_iana() -> None:
    assert {"UTC", "Europe/Berlin", "Pacific/Chatham", "America/Argentina/Buenos_Aires"} <= zone_names()
    assert not {"", "localtime", "posixrules", "Europe", "Europe/", "europe/berlin"} & zone_names()
