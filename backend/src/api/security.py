"""API keys, trusted hosts and security headers, in pure ASGI."""

import hmac
import logging
import socket
from collections.abc import Awaitable, Collection
from functools import lru_cache, partial

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from src.exceptions.errors import API_KEY_REQUIRED, HOST_NOT_TRUSTED
from src.observability.log import PacedWarnings
from src.serving.sockets import is_loopback
from src.utils.response import failure

log = logging.getLogger(__name__)

# Probes need no key, and neither do the page and the documentation, where a person enters one.
_OPEN_PATHS = frozenset({"/", "/docs", "/redoc", "/openapi.json"})
_PROBES = frozenset(prefix + route for prefix in ("", "/api/v1") for route in ("/health", "/health/ready"))
_OPEN_FILES = ("/docs/", "/web/")

# How many decisions to remember. A host may be as long as a caller likes.
_REMEMBERED_HOSTS = 128


class ApiKeys:
    """Asks for `Authorization: Bearer KEY` (RFC 6750) with one of `keys`.

    FastAPI's `HTTPBearer` is a dependency: it would not guard unknown paths, and would run after the body is
    read. Delete this once a gateway in front of the service asks for the key.
    """

    def __init__(self, app: ASGIApp, keys: Collection[str]) -> None:
        self.app = app
        self.keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]) or self._knows(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        await failure(401, API_KEY_REQUIRED, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Compare all keys, each in constant time, so that timing reveals nothing about them.
        matches = [hmac.compare_digest(given.strip().encode("latin-1"), key) for key in self.keys]
        return scheme.lower() == "bearer" and any(matches)


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path in _PROBES or path.startswith(_OPEN_FILES)


class TrustedHosts:
    """Refuses requests whose Host header names none of `hosts`. Probes pass: they may know only an address.

    Without `hosts`, it refuses requests that arrive on a loopback address and do not name this machine. A web
    page can point a name of its own at that address (DNS rebinding), and the browser would then take the
    service for a part of that page's site.

    Starlette's `TrustedHostMiddleware` has no such rule for loopback, and answers in plain text. Delete this
    for it if TRUSTED_HOSTS becomes mandatory.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        decide = partial(_is_one_of, frozenset(hosts)) if hosts else _is_for_this_machine
        self._is_trusted = lru_cache(_REMEMBERED_HOSTS)(decide)
        self._warnings = PacedWarnings(log)

    # Not `async`: the caller awaits the application itself, without a coroutine around it for every request.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or self._is_answered(scope) or scope["path"] in _PROBES:
            return self.app(scope, receive, send)
        # Leave the host out: a caller can write anything there.
        self._warnings.warn("A request was refused for its Host header; TRUSTED_HOSTS names the hosts to answer for")
        return failure(400, HOST_NOT_TRUSTED)(scope, receive, send)

    def _is_answered(self, scope: Scope) -> bool:
        # The service's own end of the connection: an address, the path of a Unix socket, or unknown.
        server = scope.get("server")
        address = server[0] if server else None
        # Starlette's Headers would take longer than all the rest.
        for name, value in scope["headers"]:
            if name == b"host":
                return self._is_trusted(address, value)
        return self._is_trusted(address, b"")


Header = tuple[bytes, bytes]

_FOR_EVERYTHING = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_FOR_JSON = [(b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]
_NOT_STORED = [(b"cache-control", b"no-store")]
# The page at `/` runs no inline script and sends no form, so no markup in a task's text can act.
WEB_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The documentation's pages run their own scripts, and load nothing from anywhere else.
_DOCUMENTATION_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; worker-src blob:; frame-ancestors 'none'"
)
_FOR_DOCUMENTATION = [(b"content-security-policy", _DOCUMENTATION_POLICY)]
_JSON = b"application/json"
_HTML = b"text/html; charset=utf-8"
# By media type.
_FOR_TYPES = {
    **dict.fromkeys(
        (_JSON, b"text/csv; charset=utf-8", b"application/x-ndjson", b"text/event-stream; charset=utf-8"),
        _FOR_EVERYTHING + _FOR_JSON + _NOT_STORED,
    ),
    _HTML: _FOR_EVERYTHING + _FOR_DOCUMENTATION,
}
_FOR_CACHED_JSON = _FOR_EVERYTHING + _FOR_JSON


def security_headers(headers: Collection[Header]) -> list[Header]:
    """Return the headers that keep browsers from guessing the type of an answer, storing it or embedding it.

    `headers` are the answer's own. After OWASP's REST Security Cheat Sheet
    (https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers).
    """
    media_type, is_cached = b"", False
    for name, value in headers:
        if name == b"content-type":
            media_type = value
        elif name == b"cache-control":
            is_cached = True
    if is_cached and media_type == _JSON:
        return _FOR_CACHED_JSON
    # Only a page may bring a policy of its own, so JSON is not searched for one.
    if media_type == _HTML and any(name == b"content-security-policy" for name, _ in headers):
        return _FOR_EVERYTHING
    return _FOR_TYPES.get(media_type, _FOR_EVERYTHING)


def _is_one_of(hosts: Collection[str], address: str | None, host: bytes) -> bool:
    return _without_port(host.decode("latin-1").lower()) in hosts


def _is_for_this_machine(address: str | None, host: bytes) -> bool:
    """Whether a request names this machine, or has arrived on an address that others reach too."""
    if address is None or not is_loopback(address):
        return True
    whole = host.decode("latin-1").lower()
    name = _without_port(whole).removeprefix("[").removesuffix("]")
    return (
        name in ("localhost", socket.gethostname().lower())
        or name.endswith(".localhost")
        or is_loopback(name)
        or is_loopback(whole)
        # The address that the start prints for a service on every address.
        or name in ("0.0.0.0", "::")  # noqa: S104
    )


def _without_port(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
