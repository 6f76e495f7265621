"""A proxy in front of PostgreSQL that records what the service sends, and can lose an answer or add latency."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import URL


class Proxy:
    """Listens on a free port, and forwards each packet of clients and server after `delay_s` seconds."""

    def __init__(self, server: URL, delay_s: float = 0) -> None:
        # The types of all messages that clients have sent, except those that open and close connections:
        # https://www.postgresql.org/docs/current/protocol-message-formats.html
        self.messages: list[str] = []
        self._server = server
        self._instead_of_answer: Callable[[], object] | None = None
        self._delay_s = delay_s
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @contextmanager
    def running(self) -> Iterator[URL]:
        """Yield the URL of the database behind the proxy."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept, listener)
        # Without TLS the proxy can read the messages.
        plain = {"sslmode": "disable", "gssencmode": "disable"}
        try:
            yield self._server.set(host="127.0.0.1", port=listener.getsockname()[1], query=plain)
        finally:
            for each in (listener, *self._sockets):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join()
            for each in (listener, *self._sockets):
                each.close()

    def lose_next_answer(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Drop the server's next answer, call `meanwhile`, and then break that connection."""
        self._instead_of_answer = meanwhile

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = self._connect()
                self._sockets += [client, server]
                self._start(self._pass_on, client, server, _Messages(self.messages.append).feed)
                self._start(self._pass_on, server, client, self._lose)

    def _connect(self) -> socket.socket:
        query = self._server.query
        if "host" not in query:
            return socket.create_connection((self._server.host or "127.0.0.1", self._server.port or 5432))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{query['host']}/.s.PGSQL.{query['port']}")
        return server

    def _lose(self, data: bytes) -> None:
        if self._instead_of_answer is not None:
            meanwhile, self._instead_of_answer = self._instead_of_answer, None
            meanwhile()
            raise ConnectionAbortedError

    def _pass_on(self, source: socket.socket, target: socket.socket, note: Callable[[bytes], None]) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                note(data)
                time.sleep(self._delay_s)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


class _Messages:
    """Splits the bytes of a client into messages. The first message opens the connection and has no type."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._buffer = b""
        self._is_open = False

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 5:
            before_length = 1 if self._is_open else 0
            end = before_length + int.from_bytes(self._buffer[before_length : before_length + 4])
            if len(self._buffer) < end:
                return
            message, self._buffer = self._buffer[:end], self._buffer[end:]
            if self._is_open and message[:1] not in b"pX":
                self._note(message[:1].decode())
            self._is_open = True
