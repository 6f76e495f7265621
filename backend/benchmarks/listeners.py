"""Measures many listeners of GET /events: how late they hear, what they take of memory, and what of the speed."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any
from urllib.parse import urlsplit

from benchmarks.data import create_database, fill, running_postgres, service_schema
from benchmarks.listener_client import SAMPLE
from benchmarks.load import send_requests
from benchmarks.report import console, machine, progress, ratio, spread, table
from benchmarks.sides import SERVICE, Server, serve
from benchmarks.works import GET, POST
from config import BACKEND
from tests.support.background import in_background

CHANGES_PER_SECOND = 100
CALLERS = 32
# How long the events are measured, in each round.
LISTENING_S = 10


class Listeners:
    """A process of listeners."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def seen(self) -> dict[str, Any]:
        """Return the number and the times of the events since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.next_line()

    def next_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))


def run(count: int, tasks: int, rounds: int, seconds: int) -> None:
    """Measure `count` listeners while tasks are created, `rounds` times, and print the results."""
    rows: list[list[float]] = []
    with running_postgres() as postgres:
        database = create_database(postgres, "listened", service_schema)
        with progress() as bars:
            fill(database, tasks, bars)
            job = bars.add_task("Measuring", total=rounds)
            for _ in range(rounds):
                with serve(SERVICE, database) as server, _changes(server.address):
                    rows.append(_round(server, count, tasks, seconds))
                bars.advance(job)
    p50s, p95s, most, per_second, memory, idle, busy, alone, together = map(list, zip(*rows, strict=True))
    console.print(machine())
    table(
        f"{count:,} listeners in one process, {CHANGES_PER_SECOND} changes a second",
        ["measured", f"median of {rounds} (least to greatest)"],
        [
            ["from the entry's timestamp to the listener, p50 ms", spread(p50s)],
            ["the same, p95 ms", spread(p95s)],
            ["the same, the longest, ms", spread(most)],
            ["events sent a second", spread(per_second)],
            ["memory for each listener, KiB", spread(memory)],
            ["time of the processor a second, nobody listens, ms", spread(idle)],
            ["time of the processor a second, all listen, ms", spread(busy)],
            [f"GET one a second, {CALLERS} callers, nobody listens", spread(alone)],
            [f"GET one a second, {CALLERS} callers, all listen", spread(together)],
            ["the ratio of both", f"{ratio(together, alone):.0%}"],
        ],
    )


def _round(server: Server, count: int, tasks: int, seconds: int) -> list[float]:
    """Return a row: times of events, their rate, memory in KiB, times of the processor, and rates of GET one."""

    def speed() -> float:
        return send_requests(server.address, GET, tasks=tasks, callers=CALLERS, seconds=seconds).per_second

    # Warm, with its connections to the database.
    speed()
    alone = [speed()]
    idle = _processor_ms(server, LISTENING_S)
    before = server.process.memory_full_info().uss
    with listening(server.address, count) as listeners:
        listeners.seen()
        started = time.monotonic()
        busy = _processor_ms(server, LISTENING_S)
        seen = listeners.seen()
        per_second = seen["measured"] * SAMPLE / (time.monotonic() - started)
        memory = (server.process.memory_full_info().uss - before) / count / 1024
        together = speed()
    alone.append(speed())
    return [seen["p50_ms"], seen["p95_ms"], seen["most_ms"], per_second, memory, idle, busy, mean(alone), together]


def _processor_ms(server: Server, seconds: int) -> float:
    """Return how many milliseconds of a processor the service uses each second, over the next `seconds`."""
    before = server.process.cpu_times()
    time.sleep(seconds)
    after = server.process.cpu_times()
    return (after.user + after.system - before.user - before.system) * 1000 / seconds


@contextmanager
def listening(address: str, count: int) -> Iterator[Listeners]:
    """Let `count` callers listen until the block is left."""
    url = urlsplit(address)
    command = [sys.executable, "-m", "benchmarks.listener_client", str(url.hostname), str(url.port), str(count)]
    with subprocess.Popen(command, cwd=BACKEND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        listeners = Listeners(process)
        listeners.next_line()
        yield listeners


@contextmanager
def _changes(address: str) -> Iterator[None]:
    """Create tasks through the service at a steady pace until the block is left."""

    def change(stop: threading.Event) -> None:
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        due = time.monotonic()
        while not stop.wait(max(0, due - time.monotonic())):
            # Those of the last second that come late are made up for.
            due = max(due, time.monotonic() - 1) + 1 / CHANGES_PER_SECOND
            connection.request(POST.method, POST.path, POST.body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            assert response.status == 201
        connection.close()

    with in_background(change):
        yield
