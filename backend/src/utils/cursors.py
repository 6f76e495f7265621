"""Cursors: where a page ends, in a word that callers hand back to get the next page.

A cursor holds what the page's last row is ordered by, so the next page follows it whatever was
added or removed in between. For PostgreSQL this is a position, such as
`t 2026-11-20T09:30:00.000000Z 0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11`: whether a task is complete (an
entry has no such thing), a time, and an id. For callers it is the same in hexadecimal digits.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, NamedTuple
from uuid import UUID

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from src.utils.json_text import JsonText
from src.utils.timestamps import rfc3339

_FIRST_MOMENT, _LAST_MOMENT = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)

_TASK_CURSOR = "[tf][0-9a-f]{48}"
_ENTRY_CURSOR = "[0-9a-f]{48}"


class Page(NamedTuple):
    """Some of the rows that a caller asked for, and the cursor to the next ones, where there are more."""

    data: JsonText
    next_cursor: str | None


def cursor_to(position: str) -> str:
    """Return the cursor to what follows `position`."""
    *completeness, time, row_id = position.split()
    ticks = (datetime.fromisoformat(time) - _FIRST_MOMENT) // _TICK
    return f"{''.join(completeness)}{ticks:016x}{UUID(row_id).hex}"


def position_of(value: object, cursors: str) -> str:
    """Return the position that the cursor `value` holds, which must match the pattern `cursors`."""
    if not isinstance(value, str) or not re.fullmatch(cursors, value, re.ASCII):
        raise PydanticCustomError("cursor", "must be a cursor from a Link header of this path")
    completeness, ticks, row_id = value[:-48], int(value[-48:-32], 16), UUID(value[-32:])
    time = _FIRST_MOMENT + min(ticks, (_LAST_MOMENT - _FIRST_MOMENT) // _TICK) * _TICK
    return f"{completeness} {rfc3339(time)} {row_id}".strip()


def _cursor(pattern: str) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(partial(position_of, cursors=pattern)), WithJsonSchema(
        {"type": "string", "pattern": f"^{pattern}$"}
    )


# What these types yield are positions.
TaskCursor = Annotated[str, *_cursor(_TASK_CURSOR)]
EntryCursor = Annotated[str, *_cursor(_ENTRY_CURSOR)]
