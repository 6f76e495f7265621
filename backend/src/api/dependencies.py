"""Shared by the endpoints: the database, the check of the media type, and the documented failures."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from src.database.database import Database
from src.exceptions.errors import (
    API_KEY_REQUIRED,
    BODY_TOO_LARGE,
    HOST_NOT_TRUSTED,
    UNEXPECTED_FAILURE,
    DatabaseUnavailable,
    DiskFull,
    EntryNotFound,
    NotJson,
    SchemaOutdated,
    TaskNotFound,
    TooManyExports,
    TooManyListeners,
    TooManyLists,
)
from src.schemas.envelope import Failure
from src.services.event_feed import EventFeed
from src.utils.cursors import EntryPosition, TaskPosition


async def get_db(request: Request) -> Database:
    """Return the application's database.

    This opens no connection: one is in use only while a statement runs.
    """
    database: Database = request.app.state.database
    return database


async def get_read_db(request: Request) -> Database:
    """Return the database for the list, the history and the stats: the replica, if there is one.

    A replica may lag, so a single task, which callers often read after a change, comes from the primary.
    """
    replica: Database | None = request.app.state.replica
    return replica or await get_db(request)


async def get_event_feed(request: Request) -> EventFeed:
    """Return the feed of the application's events."""
    feed: EventFeed = request.app.state.event_feed
    return feed


async def require_json(request: Request) -> None:
    """Raise `NotJson` if there is a body of another media type. A missing body is left to the schema."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and await request.body():
        raise NotJson


Db = Annotated[Database, Depends(get_db)]
ReadDb = Annotated[Database, Depends(get_read_db)]

Responses = dict[int | str, dict[str, Any]]

_LINK = {"description": '`<…>; rel="next"`: the next page, if there is one.', "schema": {"type": "string"}}
PAGED: Responses = {200: {"headers": {"Link": _LINK}}}


def operation_id(route: APIRoute) -> str:
    """Name an operation after its endpoint, which makes a generated client readable."""
    return route.name


def link_to_next(
    request: Request, cursor: TaskPosition | EntryPosition | None, limit: int, filters: Iterable[str]
) -> dict[str, str]:
    """Return the `Link` header (RFC 8288) to the page at `cursor`, with the `filters` that `request` has.

    The link is only a path: a URL would have to be built from the caller's Host header.
    """
    if cursor is None:
        return {}
    given = [(name, value) for name in filters for value in request.query_params.getlist(name)]
    query = urlencode([("limit", limit), *given, ("cursor", cursor)])
    return {"Link": f'<{quote(request.scope["path"])}?{query}>; rel="next"'}


def failure_of(
    status_code: int, description: str, sentence: str, *, other: Mapping[str, str] | None = None, **more: Any
) -> Responses:
    """Describe a failure for the OpenAPI document, which puts the envelope around `sentence` and `other` ones."""
    examples = {name: {"value": example} for name, example in {"failure": sentence, **(other or {})}.items()}
    content = {"application/json": {"examples": examples}}
    return {status_code: {"model": Failure, "description": description, "content": content, **more}}


BAD_REQUEST = failure_of(
    400, "The input is invalid; `error` names the field and the rule.", "title: must be 1 to 255 characters"
)
UNTRUSTED_HOST = failure_of(400, "The service does not answer for this host.", HOST_NOT_TRUSTED)
NOT_FOUND = failure_of(404, "There is no such task.", TaskNotFound.message)
ENTRY_NOT_FOUND = failure_of(404, "There is no such history entry.", EntryNotFound.message)
BODY_REFUSED = failure_of(413, "The body is too large.", BODY_TOO_LARGE) | failure_of(
    415, "The body is not declared to be JSON.", NotJson.message
)
UNEXPECTED = failure_of(500, "The service failed; its log says why.", UNEXPECTED_FAILURE)
UNAUTHORIZED = failure_of(
    401,
    "The API key is missing or wrong, and the service is configured to require one.",
    API_KEY_REQUIRED,
    headers={"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
)
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_NO_DATABASE = "The database did not answer in time, or has another schema than this version needs"
UNAVAILABLE = failure_of(503, f"{_NO_DATABASE}.", DatabaseUnavailable.message, headers=_RETRY_AFTER)
NOT_READY = failure_of(
    503,
    f"{_NO_DATABASE}; or its disk is full.",
    SchemaOutdated.message,
    other={"full disk": DiskFull.message},
    headers=_RETRY_AFTER,
)
LIST_UNAVAILABLE = failure_of(
    503,
    f"{_NO_DATABASE}; or too many whole lists or exports are still being read.",
    TooManyLists.message,
    headers=_RETRY_AFTER,
)
EXPORT_UNAVAILABLE = failure_of(
    503, f"{_NO_DATABASE}; or too many exports are still being read.", TooManyExports.message, headers=_RETRY_AFTER
)
EVENTS_UNAVAILABLE = failure_of(
    503, f"{_NO_DATABASE}; or too many callers listen.", TooManyListeners.message, headers=_RETRY_AFTER
)

# The failures of every operation that reads or writes tasks.
FAILURES = UNAUTHORIZED | UNEXPECTED | UNAVAILABLE
