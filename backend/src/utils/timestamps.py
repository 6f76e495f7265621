"""The format of times in responses: RFC 3339, in UTC."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

# The format of `rfc3339`, for PostgreSQL's `to_char`.
RFC3339_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def rfc3339(moment: datetime, timespec: str = "microseconds") -> str:
    """Return `moment` in UTC in the format of RFC 3339, with a final `Z`. `timespec` is that of `isoformat`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})

Timestamp = Annotated[datetime, PlainSerializer(rfc3339, when_used="json"), _DATE_TIME]
WeekBound = Annotated[datetime, PlainSerializer(lambda bound: rfc3339(bound, "seconds"), when_used="json"), _DATE_TIME]
