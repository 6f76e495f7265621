"""The form of a time on the wire, in UTC."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

# How PostgreSQL writes a time (`to_char`); `rfc3339` is its twin in Python.
RFC3339_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def rfc3339(moment: datetime, timespec: str = "microseconds") -> str:
    """Return `moment` in UTC as RFC 3339 has it, ending in `Z`. `timespec` is that of `isoformat`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})

Timestamp = Annotated[datetime, PlainSerializer(rfc3339, when_used="json"), _DATE_TIME]
WeekBound = Annotated[datetime, PlainSerializer(lambda bound: rfc3339(bound, "seconds"), when_used="json"), _DATE_TIME]
