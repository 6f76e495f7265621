"""Callers who keep reading and changing tasks, and note what they are told."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx

from tests.support.waiting import PATIENCE_S, wait_until
from tests.support.writer import Change, Request, Writer


class Callers:
    """Callers, each on its own thread, who call the service at `address` until the block ends."""

    def __init__(self, address: str, count: int, call: Callable[[int], None]) -> None:
        # Every answer that was not a success.
        self.errors: list[str] = []
        self._address = address
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Return when each caller has the answer to its last request, or has given it up."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Readers(Callers):
    """Callers of the endpoints that a replica may serve."""

    def __init__(self, address: str, count: int = 8) -> None:
        super().__init__(address, count, self._read)
        self.answers = 0

    def _read(self, number: int) -> None:
        with httpx.Client(base_url=self._address, timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                for path in ("/tasks?limit=20", "/history", "/stats/weekly"):
                    try:
                        response = client.get(path)
                    except httpx.TransportError as error:
                        self.errors.append(f"{path}: {error!r}")
                        continue
                    self.answers += 1
                    if not response.is_success:
                        self.errors.append(f"{path}: {response.status_code} {response.text}")


class Writers(Callers):
    """Callers who each change tasks of their own, and repeat what is safe to repeat until it succeeds."""

    def __init__(self, address: str, count: int = 8, *, keep_alive: bool = True) -> None:
        super().__init__(address, count, self._write)
        self.acknowledged: list[Change] = []
        # Connections that the service refused, and errors of connections that broke.
        self.refused = 0
        self.broken: list[str] = []
        # Requests that may have been made or not: they had no answer, and nothing made them safe to repeat.
        self.abandoned: list[Request] = []
        # The longest time without an acknowledged change.
        self.longest_gap_s = 0.0
        self._told_at: float | None = None
        self._keep_alive = keep_alive

    def wait_for_changes(self, count: int) -> None:
        """Wait for `count` more acknowledged changes."""
        enough = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= enough, lambda: (self.errors, self.broken))

    def _write(self, number: int) -> None:
        writer = Writer(number)
        limits = httpx.Limits(max_keepalive_connections=None if self._keep_alive else 0)
        with httpx.Client(base_url=self._address, timeout=PATIENCE_S, limits=limits) as client:
            while not self._stop.is_set():
                request = writer.next_request()
                response = self._send(client, request)
                if response is None:
                    self.abandoned.append(request)
                    writer.forget(request)
                    continue
                try:
                    self.acknowledged.append(writer.learn(request, response))
                    self._note_gap()
                except AssertionError as error:
                    self.errors.append(f"{request.method} {request.path}: {response.status_code} {error}")
                    writer.forget(request)
        self._note_gap()

    def _send(self, client: httpx.Client, request: Request) -> httpx.Response | None:
        """Send a request until it is answered. None if it went unanswered and must not be sent again."""
        while True:
            try:
                return request.send(client)
            except httpx.ConnectError:
                self.refused += 1
            except httpx.TransportError as error:
                self.broken.append(repr(error))
                if not request.is_repeatable:
                    return None
            if self._stop.wait(0.05):
                return None

    def _note_gap(self) -> None:
        now = time.monotonic()
        self.longest_gap_s = max(self.longest_gap_s, now - (self._told_at or now))
        self._told_at = now
