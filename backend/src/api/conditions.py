"""Conditional requests (RFC 9110, 13), requests that are safe to send again, and the headers of their answers.

Dependencies read the headers, because FastAPI takes only the first of several lines of one name. So the OpenAPI
document learns of them here.
"""

import re
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from src.api.dependencies import Responses, failure_of
from src.exceptions.errors import InvalidInput, KeyReused, PreconditionFailed, UndoConflict
from src.schemas.envelope import Popup
from src.services.task_service import ChangedTask, FetchedTask, Safeguards
from src.utils.response import entity_tag, success

_ANY = "*"
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# A list may have empty elements (RFC 9110, 5.6.1.2).
_TAGS = rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*"
_TAGS_RULE = 'must be * or a list of entity tags, such as "2026-11-20T16:45:12.345678Z" with its quotes'

_BARE_KEY = r"[!#-~][!-~]{0,254}"
# A string of structured fields (RFC 9651, 3.3.3), without spaces.
_QUOTED_KEY = r'"(?:[!#-\[\]-~]|\\["\\]){1,255}"'
_KEY_RULE = "must be 1 to 255 visible ASCII characters, bare or in double quotes"

_tag, _tags = re.compile(_TAG), re.compile(_TAGS)
_bare_key, _quoted_key = re.compile(_BARE_KEY), re.compile(_QUOTED_KEY)


async def read_if_none_match(request: Request) -> list[str] | None:
    """Return the entity tags of If-None-Match, or `*`; weak tags match as well as strong ones (RFC 9110, 13.1.2)."""
    given = _read(request, "If-None-Match")
    if given is None:
        return None
    return [_ANY] if given == _ANY else [tag.removeprefix("W/") for tag in _split(given, "If-None-Match")]


async def read_key(request: Request) -> str | None:
    """Return the Idempotency-Key."""
    given = _read(request, "Idempotency-Key")
    if given is None:
        return None
    if _quoted_key.fullmatch(given):
        return re.sub(r"\\(.)", r"\1", given[1:-1])
    if not _bare_key.fullmatch(given):
        raise InvalidInput("Idempotency-Key", _KEY_RULE)
    return given


async def read_safeguards(request: Request) -> Safeguards:
    """Return the Idempotency-Key and the entity tags of If-Match; weak ones never match (RFC 9110, 13.1.1)."""
    key = await read_key(request)
    given = _read(request, "If-Match")
    if given is None or given == _ANY:
        # Any task matches `*`, and without a task there is nothing to change.
        return Safeguards(None, key)
    return Safeguards([tag.strip('"') for tag in _split(given, "If-Match") if not tag.startswith("W/")], key)


IfNoneMatch = Annotated[list[str] | None, Depends(read_if_none_match)]
IdempotencyKey = Annotated[str | None, Depends(read_key)]
SafeguardsOfRequest = Annotated[Safeguards, Depends(read_safeguards)]


def _read(request: Request, name: str) -> str | None:
    """Return the value of a header; several lines are one list (RFC 9110, 5.3)."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None


def _split(given: str, name: str) -> list[str]:
    if not _tags.fullmatch(given):
        raise InvalidInput(name, _TAGS_RULE)
    return _tag.findall(given)


def answer_task(task: FetchedTask, tags: list[str] | None) -> Response:
    """Return the answer to a read of `task`: 304 if it has one of the `tags` of If-None-Match."""
    tag = entity_tag(task.updated_at)
    # The caller may keep the answer, but must ask each time whether it still holds.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tags is not None and (_ANY in tags or tag in tags):
        return Response(status_code=304, headers=headers)
    return success(task.json, headers=headers)


def answer_change(task: ChangedTask, popup: Popup, status_code: int = 200) -> Response:
    """Return the answer to a change: History-ID names the entry that it wrote, if it wrote one."""
    headers = {}
    if task.history_id is not None:
        headers["History-ID"] = str(task.history_id)
    if task.is_replay:
        headers["Idempotency-Replayed"] = "true"
    return success(task.json, popup, status_code, headers)


def _parameter(name: str, pattern: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^(?:{pattern})$"}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _with_headers(status_code: int, headers: dict[str, Any]) -> Responses:
    return {status_code: {"headers": headers}}


_ANY_OR_TAGS = rf"\*|{_TAGS}"
_IF_NONE_MATCH = _parameter(
    "If-None-Match",
    _ANY_OR_TAGS,
    "Entity tags, each the `updated_at` of a task in double quotes: if the task has one of them, the answer is 304.",
)
_IF_MATCH = _parameter(
    "If-Match",
    _ANY_OR_TAGS,
    "Entity tags, each the `updated_at` of a task in double quotes: unless the task has one of them, nothing is"
    " changed, and the answer is 412.",
)
_KEY = _parameter(
    "Idempotency-Key",
    rf"{_BARE_KEY}|{_QUOTED_KEY}",
    "A name for this request, such as a UUID. If it is sent again with its key, it is not done again.",
)
TAKES_IF_NONE_MATCH = {"parameters": [_IF_NONE_MATCH]}
TAKES_KEY = {"parameters": [_KEY]}
TAKES_SAFEGUARDS = {"parameters": [_IF_MATCH, _KEY]}

_ETAG = {"ETag": _header("The task's `updated_at` in double quotes.")}
_HISTORY_ID = {"History-ID": _header("The `history_id` of the entry that this change wrote, if it wrote one.")}
_REPLAYED = {"Idempotency-Replayed": _header("`true` if an earlier request with this key made the change.")}
TAGGED: Responses = {
    200: {"headers": _ETAG},
    304: {"description": "The task has one of the tags in `If-None-Match`.", "headers": _ETAG},
}
CREATES = _with_headers(201, _HISTORY_ID | _REPLAYED) | failure_of(
    422, "The key was used for another task.", KeyReused.message
)
CHANGES = _with_headers(200, _HISTORY_ID | _REPLAYED) | failure_of(
    412, "The task has none of the tags in `If-Match`.", PreconditionFailed.message, headers=_ETAG
)
UNDOES = _with_headers(200, _HISTORY_ID) | failure_of(
    409, "The task has changed since, or the entry does not hold its change.", UndoConflict.message
)
