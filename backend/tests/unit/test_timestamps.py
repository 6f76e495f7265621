"""UTC time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from src.utils.timestamps import rfc3339, utc_now, week_bounds


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


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
    ],
)
def test_a_week_begins_on_its_monday_and_lasts_seven_days(moment: datetime, monday: datetime) -> None:
    assert week_bounds(moment) == (monday, monday + timedelta(days=7))


def test_the_week_is_that_of_utc_wherever_the_caller_is() -> None:
    sunday_evening_in_new_york = datetime(2026, 11, 22, 20, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert week_bounds(sunday_evening_in_new_york)[0] == utc(2026, 11, 23)


def test_a_time_on_the_wire_is_utc_with_microseconds_and_z() -> None:
    assert rfc3339(utc(2026, 11, 20, 9, 5, 7)) == "2026-11-20T09:05:07.000000Z"
    tokyo = timezone(timedelta(hours=9))
    assert rfc3339(datetime(2026, 1, 1, 0, 0, 0, 123, tzinfo=tokyo)) == "2025-12-31T15:00:00.000123Z"


def test_now_is_aware() -> None:
    assert utc_now().utcoffset() == timedelta(0)
