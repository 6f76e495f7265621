"""Who may call, and what browsers are told: API keys, trusted hosts, security headers. Pure ASGI."""

import hmac
from collections.abc import Collection, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from src.utils.response import failure

# What needs no key: probes, and the documentation, from where a person enters one.
_OPEN_PATHS = frozenset({"/", "/docs", "/redoc", "/openapi.json"})
_PROBES = frozenset(prefix + route for prefix in ("", "/api/v1") for route in ("/health", "/health/ready"))
_DOCUMENTATION = "/docs/"


class ApiKeys:
    """Asks for `Authorization: Bearer KEY` (RFC 6750) with one of `keys`."""

    def __init__(self, app: ASGIApp, keys: Collection[str]) -> None:
        self.app = app
        self.keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]) or self._knows(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        error = "An API key is required: Authorization: Bearer KEY"
        await failure(401, error, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Every key is compared, each in constant time, so that the time tells nothing of any.
        matches = [hmac.compare_digest(given.strip().encode("latin-1"), key) for key in self.keys]
        return scheme.lower() == "bearer" and any(matches)


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path in _PROBES or path.startswith(_DOCUMENTATION)


class TrustedHosts:
    """Refuses requests whose Host header names none of `hosts`, but for probes, which may know only an address."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "") if scope["type"] == "http" else ""
        if scope["type"] != "http" or scope["path"] in _PROBES or _without_port(host).lower() in self.hosts:
            await self.app(scope, receive, send)
            return
        await failure(400, "Host: is not a host that this service answers for")(scope, receive, send)


Header = tuple[bytes, bytes]

_FOR_EVERYTHING = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_FOR_JSON = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
# The documentation's pages run their scripts, and load nothing from anywhere else.
_PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; worker-src blob:; frame-ancestors 'none'"
)
_FOR_PAGES = [(b"content-security-policy", _PAGE_POLICY)]
# By media type.
_FOR_TYPES = {
    b"application/json": _FOR_EVERYTHING + _FOR_JSON,
    b"text/html; charset=utf-8": _FOR_EVERYTHING + _FOR_PAGES,
}


def security_headers(headers: Iterable[Header]) -> list[Header]:
    """Return what tells browsers to take an answer with these `headers` for what it is, and to keep and embed none.

    After OWASP's REST Security Cheat Sheet
    (https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers).
    """
    for name, value in headers:
        if name == b"content-type":
            return _FOR_TYPES.get(value, _FOR_EVERYTHING)
    return _FOR_EVERYTHING


def _without_port(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
