"""Cursors: the position of a page's last row, which callers hand back to get the next page.

A cursor holds the values that its list is ordered by. So the next page follows the last row exactly,
whatever was added or removed in between. Callers see it as hexadecimal digits.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple, Self
from uuid import UUID

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from src.utils.json_text import JsonText
from src.utils.timestamps import rfc3339

_FIRST_MOMENT, _LAST_MOMENT = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)

_TASK_CURSOR = "[tf][0-9a-f]{48}"
_ENTRY_CURSOR = "[0-9a-f]{48}"


class EntryPosition(NamedTuple):
    """The position of an entry in the history: its `timestamp`, in RFC 3339, and its id."""

    timestamp: str
    history_id: UUID

    def __str__(self) -> str:
        ticks = (datetime.fromisoformat(self.timestamp) - _FIRST_MOMENT) // _TICK
        return f"{ticks:016x}{self.history_id.hex}"

    @classmethod
    def of(cls, value: object) -> Self:
        """Return the position that a caller's cursor holds."""
        digits = _require(_ENTRY_CURSOR, value)
        ticks = min(int(digits[:16], 16), (_LAST_MOMENT - _FIRST_MOMENT) // _TICK)
        return cls(rfc3339(_FIRST_MOMENT + ticks * _TICK), UUID(digits[16:]))


class TaskPosition(NamedTuple):
    """The position of a task in the list: whether it is complete, `created_at` in RFC 3339, and its id."""

    is_completed: bool
    created_at: str
    id: UUID

    def __str__(self) -> str:
        return f"{'t' if self.is_completed else 'f'}{EntryPosition(self.created_at, self.id)}"

    @classmethod
    def of(cls, value: object) -> Self:
        """Return the position that a caller's cursor holds."""
        digits = _require(_TASK_CURSOR, value)
        return cls(digits[0] == "t", *EntryPosition.of(digits[1:]))


class Page(NamedTuple):
    """Some of the rows that a caller asked for, as JSON, and the position of the last one if more follow."""

    data: JsonText
    next_cursor: TaskPosition | EntryPosition | None


def _require(pattern: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
        raise PydanticCustomError("cursor", "must be a cursor from a Link header of this path")
    return value


def _json_schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


# The annotation is Any because FastAPI would take a position, a tuple, for a list of values.
TaskCursor = Annotated[Any, BeforeValidator(TaskPosition.of), _json_schema(_TASK_CURSOR)]
EntryCursor = Annotated[Any, BeforeValidator(EntryPosition.of), _json_schema(_ENTRY_CURSOR)]
