"""Callers of GET /events, who parse it exactly as browsers do."""

import codecs
import json
import random
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from tests.support.client import Json
from tests.support.raw_http import Caller
from tests.support.waiting import PATIENCE_S, wait_until

_END_OF_LINE = re.compile(r"\r\n|\n|\r")


class Event(NamedTuple):
    """An event, and the last id that a reader has after it."""

    type: str
    data: str
    last_id: str


class EventParser:
    """Parses a stream as https://html.spec.whatwg.org/multipage/server-sent-events.html says."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self.blocks = 0
        self.comments = 0
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._unread = ""
        self._ended_in_cr = False
        self._id = last_id
        self._type = ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> list[Event]:
        """Return the events that are complete with `received`."""
        text = self._decoder.decode(received)
        if not text:
            return []
        # A CR ends a line at once; the LF of the same line may arrive later.
        if self._ended_in_cr:
            text = text.removeprefix("\n")
        self._ended_in_cr = text.endswith("\r")
        *lines, self._unread = _END_OF_LINE.split(self._unread + text)
        return [event for line in lines if (event := self._take(line))]

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            self.comments += 1
            return None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if re.fullmatch("[0-9]+", value):
                self.retry_ms = int(value)
        return None

    def _dispatch(self) -> Event | None:
        self.blocks += 1
        self.last_id = self._id
        kind, data = self._type or "message", self._data
        self._type, self._data = "", []
        return Event(kind, "\n".join(data), self.last_id) if data else None


class EventStream:
    """An open stream, from its first block on."""

    def __init__(self, response: httpx.Response, last_id: str = "") -> None:
        assert response.status_code == 200, response.read()
        self.response = response
        self.parser = EventParser(last_id)
        # Everything that has arrived, without the framing of HTTP.
        self.received = b""
        self._chunks = response.iter_raw()
        self._events: deque[Event] = deque()
        self._deadline = time.monotonic() + PATIENCE_S
        while not self.parser.blocks:
            self._receive()

    @property
    def last_id(self) -> str:
        """The id to come back with."""
        return self.parser.last_id

    def take(self, count: int = 1) -> list[Event]:
        """Return the next events, once so many have arrived."""
        self._deadline = time.monotonic() + PATIENCE_S
        while len(self._events) < count:
            self._receive()
        return [self._events.popleft() for _ in range(count)]

    def entries(self, count: int = 1) -> list[Json]:
        """Return the entries of the next events, all of which must be changes."""
        events = self.take(count)
        assert {event.type for event in events} == {"change"}, events
        return [json.loads(event.data) for event in events]

    def wait_for_comment(self) -> None:
        """Return once another comment has arrived."""
        self._deadline = time.monotonic() + PATIENCE_S
        before = self.parser.comments
        while self.parser.comments == before:
            self._receive()

    def rest(self) -> list[Event]:
        """Return what arrives until the service ends the stream. Raises `httpx.TransportError` if it is cut off."""
        for chunk in self._chunks:
            self._events += self.parser.feed(chunk)
        return list(self._events)

    def _receive(self) -> None:
        # Comments arrive forever, so the time-out of the client never comes.
        assert time.monotonic() < self._deadline, f"It was not sent; this was: {self.received!r}"
        chunk = next(self._chunks, None)
        assert chunk is not None, "The service ended the stream."
        self.received += chunk
        self._events += self.parser.feed(chunk)


@contextmanager
def watch(
    client: httpx.Client, last_id: str = "", path: str = "/events", headers: Mapping[Any, Any] | None = None
) -> Iterator[EventStream]:
    """Yield a stream, which is closed when the block ends. With `last_id`, it begins with what was missed."""
    resumed = {"Last-Event-ID": last_id} if last_id else {}
    with client.stream("GET", path, headers=resumed | dict(headers or {})) as response:
        # Kept here: the connection ends with the last reference to the stream.
        stream = EventStream(response, last_id)
        yield stream


def listen_raw(address: str, count: int) -> list[Caller]:
    """Return so many callers with small buffers, who have read only the beginnings of their streams.

    Each stream begins with the service's next look for entries, so the callers ask first and read afterwards.
    """
    callers = [Caller(address) for _ in range(count)]
    for caller in callers:
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for caller in callers:
        assert caller.socket.recv(4096).startswith(b"HTTP/1.1 200 ")
    return callers


class Listener:
    """Watches on a thread of its own until the block ends, and comes back after each loss with the last id.

    It comes back to any of `addresses`. If it `leaves`, it also hangs up at random moments, often in the middle of
    an event. After its first connection, and after a reset, it reads the whole history.
    """

    def __init__(self, addresses: Sequence[str], seed: int = 0, *, leaves: bool = False) -> None:
        # The entries that it knows, by history_id.
        self.told: set[str] = set()
        self.last_id = ""
        self.resets = 0
        self.connections = 0
        # Answers other than a success or a 503.
        self.errors: list[str] = []
        self._addresses = addresses
        self._leaves = leaves
        self._chance = random.Random(seed)  # noqa: S311  # No secret.
        self._socket: socket.socket | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._socket is not None:
            # It may be closed already.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def wait_for(self, history_ids: Iterable[str]) -> None:
        """Return once it knows all these entries."""
        wanted = set(history_ids)
        wait_until(
            lambda: wanted <= self.told,
            lambda: (f"{len(wanted - self.told)} of {len(wanted)} entries are missing", self.resets, self.errors),
        )

    def _watch(self) -> None:
        with httpx.Client(timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                # The service may be away, refuse for the moment, or leave within an answer.
                with suppress(httpx.HTTPError):
                    self._read(client, self._chance.choice(self._addresses))
                    continue
                self._stop.wait(0.05)

    def _read(self, client: httpx.Client, address: str) -> None:
        parser = EventParser(self.last_id)
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        with client.stream("GET", f"{address}/events", headers=headers) as response:
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            self._require_success(response)
            self.connections += 1
            for chunk in response.iter_raw():
                leaves = self._leaves and self._chance.random() < 0.5
                events = parser.feed(chunk[: self._chance.randrange(len(chunk))] if leaves else chunk)
                self.told.update(json.loads(event.data)["history_id"] for event in events if event.type == "change")
                resets = sum(event.type == "reset" for event in events)
                if parser.last_id and (resets or not self.last_id):
                    self._read_history(address)
                self.resets += resets
                self.last_id = parser.last_id
                # The flag is set before the socket is shut down, and the first chunk arrives at once.
                if leaves or self._stop.is_set():
                    return

    def _read_history(self, address: str) -> None:
        export = httpx.get(f"{address}/history?format=ndjson", timeout=PATIENCE_S)
        self._require_success(export)
        self.told.update(json.loads(line)["history_id"] for line in export.text.splitlines())

    def _require_success(self, response: httpx.Response) -> None:
        if response.status_code not in (200, 503):
            self.errors.append(f"{response.status_code} {response.read()!r}")
        response.raise_for_status()
