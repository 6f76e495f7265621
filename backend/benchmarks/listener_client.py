"""Callers of GET /events, in a process of their own: `python -m benchmarks.listener_client HOST PORT COUNT`.

It prints a line once all of them have the beginning of their streams. After that, for each line that it reads, it
prints in a line of JSON how long the events since the last line took: from the timestamp of their entry to here.
Every twentieth listener is asked. The others only read, in a fast event loop, because on a small machine the service
waits for the processor while this process works.
"""

import asyncio
import json
import re
import resource
import sys
import time
from datetime import datetime
from functools import lru_cache, partial
from statistics import quantiles
from typing import cast

import uvloop

# Of so many listeners one measures.
SAMPLE = 20
REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
_TIMESTAMP = re.compile(rb'"timestamp":"([^"]+)"')


class Listener(asyncio.Protocol):
    """One stream. Its framing is of no interest here, so it is not parsed."""

    def __init__(self, times_ms: list[float] | None) -> None:
        self.has_begun = asyncio.get_running_loop().create_future()
        self._times_ms = times_ms
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(REQUEST)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if self._times_ms is None and self.has_begun.done():
            return
        events, end, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        if not end:
            return
        if not self.has_begun.done():
            assert events.startswith(b"HTTP/1.1 200 "), events
            self.has_begun.set_result(None)
        if self._times_ms is not None:
            self._times_ms.extend((now - _seconds(at)) * 1000 for at in _TIMESTAMP.findall(events))

    def connection_lost(self, exc: Exception | None) -> None:
        sys.exit(f"The service ended a stream: {exc}")


# Every listener is told of the same entries.
@lru_cache(maxsize=10_000)
def _seconds(timestamp: bytes) -> float:
    return datetime.fromisoformat(timestamp.decode()).timestamp()


async def listen(host: str, port: int, count: int) -> None:
    """Listen until the standard input ends."""
    loop = asyncio.get_running_loop()
    times_ms: list[float] = []
    listeners = []
    for number in range(count):
        begin = partial(Listener, times_ms if number % SAMPLE == 0 else None)
        listeners.append((await loop.create_connection(begin, host, port))[1])
    await asyncio.gather(*(listener.has_begun for listener in listeners))
    _print({"listeners": count})
    while await asyncio.to_thread(sys.stdin.readline):
        seen = times_ms.copy()
        times_ms.clear()
        cuts = quantiles(seen, n=100) if len(seen) > 1 else [0.0] * 99
        _print({"measured": len(seen), "p50_ms": cuts[49], "p95_ms": cuts[94], "most_ms": max(seen, default=0.0)})


def _print(line: dict[str, float]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201  # Another process reads it.


def main() -> None:
    host, port, count = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(listen(host, int(port), int(count)))


if __name__ == "__main__":
    main()
