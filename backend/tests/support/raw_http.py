"""HTTP byte by byte, for what no HTTP client would send."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.support.waiting import PATIENCE_S, wait_until

TASK = json.dumps({"title": "Buy groceries"}).encode()
POST = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WHOLE_POST = POST + b"Content-Length: %d\r\n\r\n%s" % (len(TASK), TASK)
CHUNKED_POST = POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(TASK), TASK)
GET_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
_ANSWER = re.compile(rb"HTTP/1\.1 (\d+) .*?\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n", re.DOTALL | re.IGNORECASE)


class Caller:
    """A connection on which a test sends any bytes."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self.socket = socket.create_connection((url.hostname or "", url.port or 0), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def send(self, *parts: bytes) -> None:
        """Send the parts, until the service closes the connection."""
        for part in parts:
            try:
                self.socket.sendall(part)
            except OSError:
                return

    def answer(self) -> tuple[int, Any]:
        """Return the status and the body of the next answer, or 0 and the bytes so far if the connection ends."""
        while not (match := _ANSWER.match(self._unread)):
            if not self._receive():
                return 0, self._unread
        end = match.end() + int(match[2])
        while len(self._unread) < end:
            if not self._receive():
                return 0, self._unread
        body, self._unread = self._unread[match.end() : end], self._unread[end:]
        return int(match[1]), json.loads(body)

    def is_closed(self) -> bool:
        """Wait until the service sends something or closes the connection; tell whether it closed it without a word."""
        return not self._receive() and not self._unread

    def _receive(self) -> bool:
        try:
            received = self.socket.recv(2**16)
        except ConnectionResetError:
            return False
        self._unread += received
        return bool(received)


@contextmanager
def caller(address: str) -> Iterator[Caller]:
    """Yield a connection, which is closed when the block ends."""
    connected = Caller(address)
    with connected.socket:
        yield connected


@contextmanager
def known_caller(address: str) -> Iterator[Caller]:
    """Yield a connection that has had an answer; on a busy machine the first attempts may come too late for one."""
    with ExitStack() as stack:

        def is_known() -> bool:
            known = stack.enter_context(caller(address))
            known.send(GET_HEALTH)
            callers.append(known)
            return known.answer()[0] == 200

        callers: list[Caller] = []
        wait_until(is_known)
        yield callers[-1]
