"""Timestamps as the API writes them."""

from datetime import UTC, datetime, timedelta, timezone

from src.utils.timestamps import rfc3339


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_a_time_on_the_wire_is_utc_with_microseconds_and_z() -> None:
    assert rfc3339(utc(2026, 11, 20, 9, 5, 7)) == "2026-11-20T09:05:07.000000Z"
    tokyo = timezone(timedelta(hours=9))
    assert rfc3339(datetime(2026, 1, 1, 0, 0, 0, 123, tzinfo=tokyo)) == "2025-12-31T15:00:00.000123Z"
