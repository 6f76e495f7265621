"""The validation rules for input, as annotated types that pydantic and FastAPI apply.

Each rule raises `PydanticCustomError` with a sentence that follows the field's name, as in
`title: must be 1 to 255 characters`, and never repeats the input.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from annotated_types import Ge, Le
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from src.utils.calendar_days import zone_names

TITLE_MAX_LENGTH = 255
DESCRIPTION_MAX_LENGTH = 5000
SEARCH_MAX_LENGTH = 200
LIMIT_MAX = 100
# The largest integer that JavaScript represents exactly. The offset of the page with this number, at
# LIMIT_MAX entries a page, still fits in PostgreSQL's bigint.
NUMBER_MAX = 2**53 - 1

# A character that leaves a mark on the screen: not white space, not a control character, not one of
# Unicode's Default_Ignorable_Code_Point
# (https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt), and not the blank Braille
# pattern. Python and PostgreSQL interpret it alike; PostgreSQL's `\S` would depend on the server's locale.
VISIBLE_CHARACTER = (
    r"[^\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

_visible_character = re.compile(VISIBLE_CHARACTER)
_surrogate = re.compile("[\ud800-\udfff]")
_digits = re.compile(r"-?[0-9]{1,40}", re.ASCII)
# RFC 3339, 5.6, without leap seconds, which neither Python nor PostgreSQL can express.
_date_time = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)
_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def check_text(value: object) -> str:
    """Accept a string that PostgreSQL can store: one without NUL characters and lone surrogates."""
    if not isinstance(value, str):
        raise PydanticCustomError("text", "must be a string")
    if "\0" in value:
        raise PydanticCustomError("text", "must not contain NUL characters")
    if _surrogate.search(value):
        raise PydanticCustomError("text", "must not contain lone surrogates")
    return value


def check_title(value: object) -> str:
    """Accept a title of 1 to 255 characters, at least one of them visible."""
    return _check_visible_text(value, TITLE_MAX_LENGTH)


def check_search(value: object) -> str:
    """Accept a text to search for, of 1 to 200 characters, at least one of them visible."""
    return _check_visible_text(value, SEARCH_MAX_LENGTH)


def _check_visible_text(value: object, maximum: int) -> str:
    text = check_text(value)
    if not 1 <= len(text) <= maximum:
        raise PydanticCustomError("length", f"must be 1 to {maximum} characters")
    if not _visible_character.search(text):
        raise PydanticCustomError("visible", "must contain a visible character")
    return text


def check_description(value: object) -> str:
    """Accept a description of at most 5000 characters."""
    description = check_text(value)
    if len(description) > DESCRIPTION_MAX_LENGTH:
        raise PydanticCustomError("description", f"must be at most {DESCRIPTION_MAX_LENGTH} characters")
    return description


def check_integer(value: object, minimum: int, maximum: int) -> int:
    """Accept a query parameter that is an integer within the bounds, in decimal digits: not `1_0`, `+1` or `1.0`."""
    if isinstance(value, str) and _digits.fullmatch(value) and minimum <= int(value) <= maximum:
        return int(value)
    raise PydanticCustomError("integer", f"must be an integer from {minimum} to {maximum}")


def check_boolean(value: object) -> bool:
    """Accept only `true` and `false`, not the other words that pydantic knows for them."""
    if value in ("true", "false"):
        return value == "true"
    raise PydanticCustomError("boolean", "must be true or false")


def check_uuid(value: object) -> UUID:
    """Accept only the canonical form of a UUID (RFC 9562), not the other forms that Python knows."""
    if isinstance(value, str) and _uuid.fullmatch(value):
        return UUID(value)
    raise PydanticCustomError("uuid", "must be a UUID such as 0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11")


def check_moment(value: object) -> datetime:
    """Accept a time with its offset from UTC (RFC 3339, 5.6), and return it in UTC."""
    if isinstance(value, str) and _date_time.fullmatch(value):
        # The offset may lead out of the calendar.
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    raise PydanticCustomError("moment", "must be an RFC 3339 time such as 2026-11-16T00:00:00Z")


def check_date(value: object) -> date:
    """Accept a date in the form of RFC 3339, not the other forms of ISO 8601 that Python knows."""
    if isinstance(value, str) and _date.fullmatch(value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    raise PydanticCustomError("date", "must be a date such as 2026-11-18")


def check_zone(value: object) -> str:
    """Accept the name of an IANA time zone. `ZoneInfo` would open a file under the name that the caller chose."""
    if isinstance(value, str) and value in zone_names():
        return value
    raise PydanticCustomError("zone", "must be an IANA time zone such as Europe/Berlin")


def _json_schema(pattern: str, minimum: int, maximum: int) -> WithJsonSchema:
    """Return the JSON Schema of a text. OpenAPI patterns are ECMAScript regular expressions with the flag u."""
    pattern = re.sub(r"\\U([0-9a-f]{8})", lambda escape: chr(int(escape[1], 16)), pattern)
    return WithJsonSchema({"type": "string", "minLength": minimum, "maxLength": maximum, "pattern": pattern})


_STORABLE = r"[^\u0000]*"
_VISIBLE = f"^{_STORABLE}{VISIBLE_CHARACTER}{_STORABLE}$"

Title = Annotated[str, BeforeValidator(check_title), _json_schema(_VISIBLE, 1, TITLE_MAX_LENGTH)]
Search = Annotated[str, BeforeValidator(check_search), _json_schema(_VISIBLE, 1, SEARCH_MAX_LENGTH)]
Description = Annotated[
    str, BeforeValidator(check_description), _json_schema(f"^{_STORABLE}$", 0, DESCRIPTION_MAX_LENGTH)
]
Boolean = Annotated[bool, BeforeValidator(check_boolean)]
Id = Annotated[UUID, BeforeValidator(check_uuid)]
Moment = Annotated[datetime, BeforeValidator(check_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
Day = Annotated[date, BeforeValidator(check_date)]
Zone = Annotated[str, BeforeValidator(check_zone)]


def _integer(minimum: int, maximum: int) -> tuple[Ge, Le, BeforeValidator]:
    """Return the bounds, which the OpenAPI document shows, and the check, which runs before them."""
    return Ge(minimum), Le(maximum), BeforeValidator(partial(check_integer, minimum=minimum, maximum=maximum))


PageNumber = Annotated[int, *_integer(1, NUMBER_MAX)]
PageSize = Annotated[int, *_integer(1, LIMIT_MAX)]
Offset = Annotated[int, *_integer(0, NUMBER_MAX)]
