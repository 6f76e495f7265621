"""HTTP/1.1 on one connection: uvicorn's protocol, with limits on callers who keep it waiting.

uvicorn and httptools limit neither the bytes nor the time of a request that has not arrived. httptools
treats a request with `Upgrade` as already upgraded, and trailers as headers. Delete this once uvicorn has
such limits, or if only a proxy with such limits can reach the port.
"""

import asyncio
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from config import Settings
from src.serving.answers import WholeAnswer
from src.serving.connections import Connections
from src.serving.refusals import Refusal, refusal_bytes

# The name of the ASGI extension by which the application says, with `begin`, that its answer goes on until the caller
# leaves. Otherwise a caller that closes its connection looks like one that has sent everything, and the service would
# find out only when it writes for the second time.
# `begin` returns a function that writes a part of the body at once, and returns whether the connection takes it. A
# message to `send` takes five times as long, because the task of the request has to wake up first.
ENDLESS = "task_backend.endless"

# How long a new connection may take to send its first request when the service stops. On a busy
# machine a caller may need some time to do so.
_FIRST_REQUEST_TIMEOUT_S = 3.0
# How long a caller may leave its answer unread when the service stops.
_LAST_WRITE_TIMEOUT_S = 1.0

# A chunk of 1 byte has 5 bytes of framing; 8 leaves some room.
_FRAMING_BYTES_PER_BYTE = 8
# How much the service reads from a caller that goes on sending after its answer. Closing earlier could
# keep the answer from the caller (RFC 9112, 9.6).
_IGNORED_BODY_BYTES = 2**24


class _Arriving(Enum):
    """The part of a request that the caller is sending."""

    NOTHING = auto()
    HEADERS = auto()
    BODY = auto()
    # The connection ends with the answer that is due: the service reads nothing more.
    NO_MORE = auto()


# Python 3.11 takes ten times as long to look a member up in its class.
_NOTHING, _HEADERS, _BODY, _NO_MORE = _Arriving


class PatientProtocol(HttpToolsProtocol):
    """Waits for its caller within limits, and answers every request that has arrived whole.

    When the service stops, uvicorn closes every connection without a request, even one that it accepted
    a moment ago, and that caller cannot know whether its request was served. This protocol still serves it.
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
        self._settings: Settings = config.settings
        self._is_stopping = False
        self._served: RequestResponseCycle | None = None
        self._is_endless = self._is_half_closed = False

        self._arriving = _NOTHING
        # Bytes so far of the header section or, during a body, of its chunk framing.
        self._arrived_bytes = 0
        self._ignored_bytes = 0
        self._arrival_deadline = math.inf
        self._write_deadline = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._made_at = self.loop.time()
        self._arrival_deadline = self._made_at + self._settings.header_timeout_s
        if not self._connections.add(self):
            self.end(Refusal.TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request in progress that nobody waits for its answer, and forget the ones behind it."""
        self._connections.remove(self)
        self.pipeline.clear()
        if self._served is not None and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection for a caller that has sent everything and now waits for its answer."""
        if not self._is_serving() or self._is_served_early() or self._is_endless:
            return False
        self.cycle.keep_alive = False
        self._is_half_closed = True
        return True

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived: a part of a request, or several requests."""
        if self._arriving is _NO_MORE:
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
        if self._arriving is not _NOTHING or not self._is_serving():
            self._limit_arrival()

    def _parse_without_upgrade(self, following: memoryview) -> None:
        """Parse the last header section again without its offer to upgrade, and then the bytes that follow it.

        A server may ignore an offer (RFC 9110, 7.8). The parser does not: it has skipped the body.
        """
        while True:
            if self.parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("CONNECT is for proxies")
            request = self._without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            # As in uvicorn: bytes after the last request of a connection do not matter.
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
        if self._arriving is _BODY:
            self._arrival_deadline = self.loop.time() + self._settings.body_timeout_s
        elif self._arrival_deadline == math.inf:
            self._arrival_deadline = self.loop.time() + self._settings.header_timeout_s
        if self._arrived_bytes > self._settings.max_header_bytes or self._ignored_bytes > _IGNORED_BODY_BYTES:
            self.end(Refusal.TOO_LARGE)

    def _is_too_large(self) -> bool:
        """Whether the header section just parsed is too large; the bytes counted so far may include more than it."""
        if self._arriving is _BODY:
            return False
        size: int = len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        return size > self._settings.max_header_bytes

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        super().on_message_begin()
        self._arriving = _HEADERS

    def on_headers_complete(self) -> None:
        """Begin to serve a request. It is the connection's last one if the service is stopping."""
        if self.parser.should_upgrade():
            return
        if self._arrived_bytes > self._settings.max_header_bytes and self._is_too_large():
            raise httptools.HttpParserError("the header section is too large")
        super().on_headers_complete()
        self._arriving = _BODY
        self._arrived_bytes = self._ignored_bytes = 0
        # The parser puts trailers there, and nobody reads them.
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
        """Note that the whole request is there: the caller now waits for the service."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._arriving = _NOTHING
        self._arrived_bytes = 0
        self._arrival_deadline = math.inf
        self._connections.serve(self)
        if self.cycle.response_complete:
            # It was answered before its body had arrived, and uvicorn no longer counts the connection as idle.
            self._arrival_deadline = self.loop.time() + self._settings.header_timeout_s
            self._connections.wait(self)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._served = cycle
        self._is_endless = False
        cycle.scope["extensions"] = {ENDLESS: {"begin": self._begin_endless}}
        cycle.transport = cast(asyncio.Transport, WholeAnswer(cycle.transport))
        super()._start_asgi_task(cycle, app)

    def _begin_endless(self) -> Callable[[bytes], bool]:
        """Note that the answer goes on until the caller leaves, which may be so already.

        A few bytes now and then never fill the buffer to a caller that has vanished, so `pause_writing` does not tell.
        """
        self._is_endless = True
        if self._is_half_closed:
            self.transport.close()
        timeout_ms = round(self._settings.write_timeout_s * 1000)
        # Only Linux has it, and only TCP.
        with suppress(AttributeError, OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
        assert self._served is not None
        return partial(self._write_part, self._served)

    def _write_part(self, cycle: RequestResponseCycle, part: bytes) -> bool:
        if self.flow.write_paused or cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it."""
        # The answer to HEAD has no body.
        if self._served is not None:
            cast(WholeAnswer, self._served.transport).flush()
        super().on_response_complete()
        if self.cycle.response_complete or self._is_served_early():
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
        """End the connection if its caller neither sends nor reads in time. `now` is the time of the event loop."""
        if self.transport.is_closing():
            # It ends once the caller has read the last bytes.
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
                # The service itself has stopped reading.
                self._arrival_deadline = now + self._settings.body_timeout_s
            else:
                self.end(Refusal.NO_BODY if self._arriving is _BODY else Refusal.NO_REQUEST)

    def make_room(self) -> None:
        """End the connection, which waits for its caller, to make room for a new one."""
        self._connections.count(Refusal.TOO_MANY)
        self.transport.abort()

    def end(self, reason: Refusal) -> None:
        """End the connection, with an answer if the caller still expects one."""
        self._connections.count(reason)
        if reason is Refusal.NOT_READ:
            self.transport.abort()
            return
        if self._is_serving() and self._arriving is not _BODY:
            # The fault is in what follows: this request is still answered.
            self._arriving = _NO_MORE
            self._arrival_deadline = math.inf
            self.cycle.keep_alive = False
            return
        # Every whole request has its answer by now. One whose body is arriving may have to wait its turn.
        is_next = self._arriving is _HEADERS or (self._is_served_early() and not self.cycle.response_started)
        if reason is Refusal.TOO_MANY or is_next:
            self.transport.write(refusal_bytes(reason))
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
        timeout_s = _LAST_WRITE_TIMEOUT_S if self._is_stopping else self._settings.write_timeout_s
        self._write_deadline = self.loop.time() + timeout_s

    def _is_serving(self) -> bool:
        """Whether a request waits for its answer; its body may still be arriving."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_served_early(self) -> bool:
        """Whether the request that is being served is still arriving."""
        return self._served is self.cycle and self._arriving is _BODY
