"""The reasons for which the service ends a connection, and what it tells the caller."""

from enum import StrEnum

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from src.utils.response import failure


class Refusal(StrEnum):
    """Why the service ended a connection."""

    TOO_MANY = "too many connections"
    NOT_HTTP = "not HTTP"
    TOO_LARGE = "request too large"
    NO_REQUEST = "no request in time"
    NO_BODY = "body stopped coming"
    NOT_READ = "answer not read"


_ANSWERS = {
    Refusal.TOO_MANY: (503, "Too many connections; try again in a moment"),
    Refusal.NOT_HTTP: (400, "The request is not valid HTTP"),
    Refusal.TOO_LARGE: (431, "The request's headers are too large"),
    Refusal.NO_REQUEST: (408, "The request took too long to arrive"),
    Refusal.NO_BODY: (408, "The request took too long to arrive"),
}


def refusal_bytes(reason: Refusal) -> bytes:
    """Return the whole HTTP response to a request that never reaches the application."""
    response = failure(*_ANSWERS[reason], {"Connection": "close"})
    headers = [b"%s: %s\r\n" % header for header in response.raw_headers]
    return b"".join([STATUS_LINE[response.status_code], *headers, b"\r\n", response.body])
