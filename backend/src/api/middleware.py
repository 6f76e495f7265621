"""What every request passes through. Pure ASGI: no tasks and no copied contexts."""

import logging
import random
import re
import time
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.security import security_headers
from src.exceptions.errors import UNEXPECTED_FAILURE
from src.observability.log import request_id
from src.observability.metrics import requests
from src.utils.response import failure

log = logging.getLogger("task_backend")

# Whatever word a caller has for a method, there are not more metrics than these.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Of a path that is no route's; one of 60 kB would make a line of 180 kB.
_LOGGED_PATH_MAX_LENGTH = 200

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Observed:
    """Names each request, logs one line for it and measures it: method, route, status and milliseconds.

    It tells browsers to take the answer for what it is.

    The name is the caller's X-Request-ID where that is 1 to 64 of `[A-Za-z0-9._-]`, else a new
    one; the answer and every line that is logged on the way carry it. The route is a template such
    as `/tasks/{task_id}`: the lines and the metrics of all tasks belong together. A path with a
    trailing slash is, for all that follows, the path without it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status: int | None = None
        method = scope["method"]
        path = scope["path"].removesuffix("/")
        # The route `/` is a slash after the path under which a server puts the application.
        if path != scope["path"] and path != scope.get("root_path", ""):
            scope = {**scope, "path": path}
        name = _given_name(scope) or f"{random.getrandbits(128):032x}"  # No secret.
        request_id.set(name)

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += (*security_headers(message["headers"]), (b"x-request-id", name.encode()))
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            seconds = time.perf_counter() - started
            # The router leaves its choice in the scope.
            route = getattr(scope.get("route"), "path", None)
            requests(method if method in _METHODS else "_OTHER", route or "", status or "").observe(seconds)
            milliseconds = round(seconds * 1000, 1)
            log.info(
                "%s %s %s %s ms",
                method,
                route or _printable_path(scope),
                status or "-",
                milliseconds,
                extra={"method": method, "route": route, "status": status, "milliseconds": milliseconds},
            )


class UnexpectedErrors:
    """Answers a crash with a 500 in the envelope.

    FastAPI runs a handler for `Exception` outside of the CORS middleware; without CORS headers a
    browser would hide the answer from the page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            log.exception("%s %s failed", scope["method"], _printable_path(scope))
            await failure(500, UNEXPECTED_FAILURE)(scope, receive, send)


class BodyLimit:
    """Refuses request bodies of more than `max_bytes`, as counted while they are read."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received = 0

        async def receive_and_count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                # The one kind of exception that FastAPI lets through while it reads a body.
                raise HTTPException(413)
            return message

        await self.app(scope, receive_and_count, send)


class HeadAsGet:
    """Answers HEAD wherever GET is answered, with the same headers and no body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # A copy: the server looks at the method of its own, to expect no body.
        as_get = {**scope, "method": "GET"}
        try:
            await self.app(as_get, receive, send_without_body)
        finally:
            scope["route"] = as_get.get("route")


def _given_name(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given if _REQUEST_ID.fullmatch(given) else None
    return None


def _printable_path(scope: Scope) -> str:
    """The path as it is in a URL, so that no path can forge a line of the log; the beginning of a long one, and "…"."""
    path = scope["path"]
    # The path is cut before it is quoted, so no escape sequence is.
    beginning = quote(path[:_LOGGED_PATH_MAX_LENGTH], errors="replace")
    return beginning if len(path) <= _LOGGED_PATH_MAX_LENGTH else f"{beginning}…"
