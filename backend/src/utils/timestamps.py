"""UTC time: the clock, the bounds of a week, and the form of a time on the wire."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

# How PostgreSQL writes a time (`to_char`); `rfc3339` is its twin in Python.
RFC3339_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


def week_bounds(moment: datetime) -> tuple[datetime, datetime]:
    """Return the Monday 00:00 UTC that begins the week of `moment`, and the next.

    The week is the ISO 8601 one. It is half-open: its last moments, Sunday 23:59:59.999999
    included, lie before the second bound. `moment` must carry a time zone.
    """
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - timedelta(days=midnight.weekday())
    return start, start + timedelta(weeks=1)


def rfc3339(moment: datetime, timespec: str = "microseconds") -> str:
    """Return `moment` in UTC as RFC 3339 has it, ending in `Z`. `timespec` is that of `isoformat`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})

Timestamp = Annotated[datetime, PlainSerializer(rfc3339, when_used="json"), _DATE_TIME]
WeekBound = Annotated[datetime, PlainSerializer(lambda bound: rfc3339(bound, "seconds"), when_used="json"), _DATE_TIME]
