"""The middleware of every request, in pure ASGI: no tasks and no copied contexts."""

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

# Callers can make up methods: the metrics count all others as one.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# For a path without a route: one of 60 kB would make a line of 180 kB.
_LOGGED_PATH_MAX_LENGTH = 200

# The route whose answer goes on until the caller leaves.
_STREAM = "/events"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Observed:
    """Gives each request an id, a log line, a measurement and the security headers of its answer.

    The id is the caller's X-Request-ID if that is 1 to 64 of `[A-Za-z0-9._-]`, else a new one. The answer
    and every line that is logged on the way carry it. The line and the metric hold the method, the status,
    the milliseconds and the route, a template such as `/tasks/{task_id}`, so that all tasks share one metric. Of a
    stream, the metric measures the time until it began.
    Everything behind this middleware sees a path without its trailing slash.

    The middleware of libraries does one of these jobs each, and each such wrapper costs time per request.
    Delete this for theirs if that time does not matter.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = began = time.perf_counter()
        status: int | None = None
        method = scope["method"]
        path = scope["path"].removesuffix("/")
        # The route `/` is a slash after `root_path`, the path that a server mounts the application on.
        if path != scope["path"] and path != scope.get("root_path", ""):
            scope = {**scope, "path": path}
        name = _given_name(scope) or f"{random.getrandbits(128):032x}"  # No secret.
        request_id.set(name)

        async def send_and_note(message: Message) -> None:
            nonlocal status, began
            if message["type"] == "http.response.start":
                status = message["status"]
                began = time.perf_counter()
                message["headers"] += (*security_headers(message["headers"]), (b"x-request-id", name.encode()))
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            seconds = time.perf_counter() - started
            # FastAPI's routes put themselves into the scope; those of the documentation are Starlette's.
            route = getattr(scope.get("route"), "path", None) or _documentation_route(path)
            # How long a stream went on says nothing about how fast the service is.
            measured = began - started if route == _STREAM else seconds
            requests(method if method in _METHODS else "_OTHER", route or "", status or "").observe(measured)
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

    FastAPI runs a handler for `Exception` outside of all middleware, so its answer has no CORS headers and a
    browser hides it from the page. Delete this once FastAPI runs that handler inside.
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
    """Refuses request bodies of more than `max_bytes`, as counted while they are read.

    Starlette's `RequestBodyLimitMiddleware` answers in plain text, past the envelope. Delete this once that
    leaves the answer to the exception handlers.
    """

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
                # FastAPI lets no other kind of exception through while it reads a body.
                raise HTTPException(413)
            return message

        await self.app(scope, receive_and_count, send)


class HeadAsGet:
    """Answers HEAD wherever GET is answered, with the same headers (RFC 9110, 9.3.2), and drops the body.

    After the headers, the caller seems to have left, so an export ends there. Starlette's routes answer HEAD
    themselves, and FastAPI's do not. Delete this once they do.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # A copy: the server reads the method in its own scope to know that it sends no body.
        as_get = {**scope, "method": "GET"}
        is_answered = False

        async def receive_until_answered() -> Message:
            return {"type": "http.disconnect"} if is_answered else await receive()

        async def send_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                is_answered = True

        try:
            await self.app(as_get, receive_until_answered, send_headers)
        finally:
            scope["route"] = as_get.get("route")


def _documentation_route(path: str) -> str | None:
    if path == "/openapi.json":
        return path
    return "/docs/assets" if path.startswith("/docs/assets/") else None


def _given_name(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given if _REQUEST_ID.fullmatch(given) else None
    return None


def _printable_path(scope: Scope) -> str:
    """Return the path as a URL has it, so that no path can forge a line of the log; "…" ends a long one."""
    path = scope["path"]
    # Cut before quoting: that cuts no escape sequence.
    beginning = quote(path[:_LOGGED_PATH_MAX_LENGTH], errors="replace")
    return beginning if len(path) <= _LOGGED_PATH_MAX_LENGTH else f"{beginning}…"
