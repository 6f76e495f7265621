"""HTTP/1.1 as uvicorn speaks it with httptools, with limits on what is not yet a request.

httptools has no limits of its own, neither on bytes nor on time; it takes an offer to upgrade for an
upgrade, and the fields after a body (trailers) for headers.
"""

import asyncio
import math
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from src.serving.connections import Connections, Limits, Refusal
from src.utils.response import failure

# How long a new connection may take to send its first request when the service stops. On a busy
# machine a caller may need some time to do so.
_FIRST_REQUEST_TIMEOUT_S = 3.0
# How long a caller may not read when the service stops.
_LAST_WRITE_TIMEOUT_S = 1.0

# The smallest chunk has one byte of a body, and five around it.
_FRAMING_BYTES_PER_BYTE = 8
# What a caller goes on sending after its answer is read until then, so that it gets to see the answer
# (RFC 9112, 9.6).
_IGNORED_BODY_BYTES = 2**24

_STATUSES = {
    Refusal.NOT_HTTP: 400,
    Refusal.TOO_LARGE: 431,
    Refusal.NO_REQUEST: 408,
    Refusal.NO_BODY: 408,
    Refusal.TOO_MANY: 503,
}
_SENTENCES = {
    Refusal.NOT_HTTP: "The request is not valid HTTP",
    Refusal.TOO_LARGE: "The request's headers are too large",
    Refusal.NO_REQUEST: "The request took too long to arrive",
    Refusal.NO_BODY: "The request took too long to arrive",
    Refusal.TOO_MANY: "Too many connections; try again in a moment",
}


class PatientProtocol(HttpToolsProtocol):
    """Waits for its caller within limits, and answers every request that has arrived whole.

    When the service stops, uvicorn closes every connection that has no request in hand, one included
    that it accepted a moment ago; its caller could not know whether the request was served. This one
    still serves it.
    """

    def __init__(
        self,
        config: Any,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._connections: Connections = config.connections
        self._limits: Limits = self._connections.limits
        self._is_stopping = False
        self._takes_no_more = False
        self._served: RequestResponseCycle | None = None

        # Of the request that is arriving. What arrived is of its header section, or around its body.
        self._is_arriving = False
        self._has_headers = False
        self._arrived_bytes = 0
        self._ignored_bytes = 0
        self._arrival_deadline = math.inf
        self._write_deadline = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._made_at = self.loop.time()
        self._arrival_deadline = self._made_at + self._limits.header_timeout_s
        if not self._connections.add(self):
            self.end(Refusal.TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the request that is being served know that nobody waits for its answer, and forget the next ones."""
        self._connections.remove(self)
        self.pipeline.clear()
        if self._served is not None and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a caller that has sent all that it will send, and now only listens."""
        if not self._is_serving() or (self._served is self.cycle and not self._is_whole()):
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, which may be a part of a request or several of them."""
        if self._takes_no_more:
            return
        self._unset_keepalive_if_required()
        self._arrived_bytes += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._parse_without_upgrade(memoryview(data)[offer.args[0] :])
        except httptools.HttpParserError:
            self.end(Refusal.TOO_LARGE if self._is_too_large() else Refusal.NOT_HTTP)
            return
        # Empty lines may come before a request (RFC 9112, 2.2).
        if self._is_arriving or not self._is_serving():
            self._limit_arrival()

    def _parse_without_upgrade(self, following: memoryview) -> None:
        """Take a request for what it is without its offer to upgrade, and then the bytes that follow its headers.

        An offer may be ignored (RFC 9110, 7.8). The parser has not done so: it has skipped the body.
        """
        while True:
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("CONNECT is for proxies")
            request = self._without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            # As uvicorn has it: what follows the last request of a connection does not matter.
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(request)
            try:
                self.parser.feed_data(following)
            except httptools.HttpParserUpgrade as offer:
                following = following[offer.args[0] :]
            else:
                return

    def _without_upgrade(self) -> bytes:
        """Return the header section that was parsed last, without its offer to upgrade."""
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                options = [option for option in value.split(b",") if option.strip().lower() != b"upgrade"]
                lines.append(b"connection: " + b",".join(options))
            elif name != b"upgrade":
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _limit_arrival(self) -> None:
        if self._has_headers:
            self._arrival_deadline = self.loop.time() + self._limits.body_timeout_s
        elif self._arrival_deadline == math.inf:
            self._arrival_deadline = self.loop.time() + self._limits.header_timeout_s
        if self._arrived_bytes > self._limits.header_bytes or self._ignored_bytes > _IGNORED_BODY_BYTES:
            self.end(Refusal.TOO_LARGE)

    def _is_too_large(self) -> bool:
        """Whether the header section that has just been parsed is; what was counted so far may be more than it."""
        if self._has_headers:
            return False
        size: int = len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        return size > self._limits.header_bytes

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        super().on_message_begin()
        self._is_arriving = True
        self._has_headers = False

    def on_headers_complete(self) -> None:
        """Begin to serve a request; the last one of this connection, if the service is to stop."""
        if self.parser.should_upgrade():
            return
        if self._arrived_bytes > self._limits.header_bytes and self._is_too_large():
            raise httptools.HttpParserError("the header section is too large")
        super().on_headers_complete()
        self._has_headers = True
        self._arrived_bytes = self._ignored_bytes = 0
        # Trailers go there, and are of no use to anybody.
        self.headers = []
        if self._is_stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._arrived_bytes = max(0, self._arrived_bytes - _FRAMING_BYTES_PER_BYTE * len(body))
        if self.cycle.response_complete:
            self._ignored_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is there, and that it is not the caller any more who is waited for."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._is_arriving = self._has_headers = False
        self._arrived_bytes = 0
        self._arrival_deadline = math.inf
        self._connections.serve(self)
        if self.cycle.response_complete:
            # It was answered before its body was there, and uvicorn has forgotten since that it is idle.
            self._arrival_deadline = self.loop.time() + self._limits.header_timeout_s
            self._connections.wait(self)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it."""
        super().on_response_complete()
        if self.cycle.response_complete or (self._served is self.cycle and not self._is_whole()):
            self._connections.wait(self)

    def pause_writing(self) -> None:
        """Begin to wait for the caller to read."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Note that the caller reads."""
        super().resume_writing()
        self._write_deadline = math.inf

    def check(self, now: float) -> None:
        """End the connection if its caller neither sends nor reads what it should."""
        if self.transport.is_closing():
            # It ends when its last bytes are read.
            if self._write_deadline == math.inf:
                self._await_reader()
            elif now > self._write_deadline:
                self._connections.count(Refusal.NOT_READ)
                self._connections.remove(self)
                self.transport.abort()
        elif now > self._write_deadline:
            self.end(Refusal.NOT_READ)
        elif now > self._arrival_deadline:
            if self.flow.read_paused:
                # It is the service that does not read.
                self._arrival_deadline = now + self._limits.body_timeout_s
            else:
                self.end(Refusal.NO_BODY if self._has_headers else Refusal.NO_REQUEST)

    def make_room(self) -> None:
        """End the connection for a new one, while it waits for its caller."""
        self._connections.count(Refusal.TOO_MANY)
        self.transport.abort()

    def end(self, reason: Refusal) -> None:
        """End the connection, with an answer where one can be given."""
        self._connections.count(reason)
        if reason is Refusal.NOT_READ:
            self.transport.abort()
            return
        if self._is_serving() and self._is_whole():
            # What follows is at fault: this one is answered.
            self._takes_no_more = True
            self._is_arriving = False
            self._arrival_deadline = math.inf
            self.cycle.keep_alive = False
            return
        if reason is Refusal.TOO_MANY or (self._is_arriving and self._is_next_to_answer()):
            response = failure(_STATUSES[reason], _SENTENCES[reason], {"Connection": "close"})
            lines = [b"%s: %s\r\n" % header for header in response.raw_headers]
            self.transport.write(b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body]))
        self.transport.close()

    def shutdown(self) -> None:
        """Close the connection, once it is idle."""
        self._is_stopping = True
        if self._write_deadline != math.inf:
            self._await_reader()
        patience_s = self._made_at + _FIRST_REQUEST_TIMEOUT_S - self.loop.time()
        if self._served is None and patience_s > 0:
            self.loop.call_later(patience_s, super().shutdown)
        else:
            super().shutdown()

    def _await_reader(self) -> None:
        timeout_s = _LAST_WRITE_TIMEOUT_S if self._is_stopping else self._limits.write_timeout_s
        self._write_deadline = self.loop.time() + timeout_s

    def _is_serving(self) -> bool:
        """Whether a request waits for its answer; its body may not be there yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_whole(self) -> bool:
        """Whether the last request of which the headers are there has arrived whole."""
        return not (self._is_arriving and self._has_headers)

    def _is_next_to_answer(self) -> bool:
        """Whether the request that is arriving has no answer yet, and every one before it has."""
        if not self._has_headers:
            return not self._is_serving()
        return self._served is self.cycle and not self.cycle.response_started
