"""Attacks by strangers on a service at work, and what its callers notice: a part of `make torture`.

Each function attacks a service with its default settings, and returns one line of results. The
latencies compare the time under attack with a quiet time just before it, on the same machine.
"""

import asyncio
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, cycle, repeat
from multiprocessing import Process

import httpx
import psutil
from sqlalchemy import URL

from config import BACKEND
from src.embedded_postgres.server import EmbeddedPostgres
from tests.drills.probe import (
    MEGABYTE,
    Call,
    Probe,
    create_task,
    fresh_health,
    get,
    memory_mib,
    temporary_bytes,
)
from tests.support.client import Api
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import environment_of, execute, transaction
from tests.support.service import MAIN, Service, running
from tests.support.waiting import PATIENCE_S, wait_until

KEY = "a-key-for-the-attacks"
QUIET_S = 10.0


@contextmanager
def service_at_work(**environment: str) -> Iterator[tuple[Service, Api, URL]]:
    """Run a service and its database; yield the service, a client of it and the URL of the database."""
    with (
        cluster_dir() as data_dir,
        EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres,
        running(MAIN, BACKEND, DATABASE_URL=environment_of(postgres.url), **environment) as (service, api),
    ):
        yield service, api, postgres.url


@contextmanager
def by_another_process(attack: Callable[[], None]) -> Iterator[None]:
    """Attack from another process, which takes no time from the probes, until the block ends."""
    attacker = Process(target=attack)
    attacker.start()
    try:
        yield
    finally:
        attacker.kill()
        attacker.join()


POST = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n10\r\n" + b'{"title": "Buy"}\r\n0\r\n'
# The beginning of each flood, and what then repeats without end.
FLOODS = [
    (b"GET /health HTTP/1.1\r\n", b"A: b\r\n" * 10_000),
    (b"GET /health HTTP/1.1\r\nA: ", b"b" * 65_536),
    (CHUNKED, b"A: b\r\n" * 10_000),
    (CHUNKED + b"A: ", b"b" * 65_536),
    (POST + b"Content-Length: 1000000000\r\n\r\n", b"x" * 65_536),
]


def flood(port: int, megabytes: int) -> None:
    """Send `megabytes` in all, over connections of every kind, each until the service closes it."""
    left = megabytes * MEGABYTE
    for beginning, more in cycle(FLOODS):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE_S) as stranger:
            stranger.sendall(beginning)
            while left > 0:
                stranger.sendall(more)
                left -= len(more)
        left -= len(more)
        if left <= 0:
            return


def floods(megabytes: int = 200) -> str:
    """Flood the service with headers, trailers and bodies, with and without API_KEY."""
    lines = []
    for environment in ({}, {"API_KEY": KEY}):
        with service_at_work(**environment) as (service, _, _):
            with Probe(f"http://127.0.0.1:{service.port}", {"health": partial(get, "/health")}) as probe:
                time.sleep(QUIET_S / 5)
                quiet, before = probe.latencies("health"), memory_mib(service)
                attacker = Process(target=flood, args=(service.port, megabytes))
                attacker.start()
                highest = before
                while attacker.is_alive():
                    highest = max(highest, memory_mib(service))
                    time.sleep(0.05)
                attacker.join()
                seen = probe.latencies("health")
            lines.append(
                f"{'with' if environment else 'without'} a key: memory +{highest - before:.1f} MiB,"
                f" p99 of /health {quiet.p99:.1f} to {seen.p99:.1f} ms, {len(probe.errors)} errors"
            )
    return "; ".join(lines)


def hold_connections(port: int, number: int) -> None:
    """Open connections that send nothing or half a request, and keep them open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    for part in chain.from_iterable(repeat([b"", b"GET /health HTTP/1.1\r\nA: b\r\n"], number // 2)):
        with suppress(OSError):
            stranger = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
            held.append(stranger)
            stranger.sendall(part)
    threading.Event().wait()


def idle_connections(number: int = 5000) -> str:
    """Hold connections without a request open, to a service that may open 1,024 files."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        command = ["bash", "-c", 'ulimit -n 1024; exec "$@"', "-", *MAIN]
        with running(command, DATABASE_URL=environment_of(postgres.url)) as (service, api):
            task = f"/tasks/{api.create_task()['id']}"
            calls: dict[str, Call] = {"get": partial(get, task), "post": create_task, "health": fresh_health}
            with Probe(f"http://127.0.0.1:{service.port}", calls) as probe:
                time.sleep(QUIET_S)
                quiet = {name: probe.latencies(name) for name in calls}
                process = psutil.Process(service.process.pid)
                usual = len(process.net_connections("tcp"))
                lines_before = service.output.count("Connections ended")
                started = time.monotonic()
                with by_another_process(partial(hold_connections, service.port, number)):
                    wait_until(lambda: len(process.net_connections("tcp")) > usual + 100)
                    wait_until(lambda: len(process.net_connections("tcp")) <= usual + 20)
                    gone_s = time.monotonic() - started
                seen = {name: probe.latencies(name) for name in calls}
            lines = service.output.count("Connections ended") - lines_before
    times = ", ".join(f"{name} {quiet[name].p99:.1f} to {seen[name].p99:.1f}" for name in calls)
    return (
        f"{number} connections: {len(probe.errors)} errors of callers, p99 ms: {times};"
        f" gone after {gone_s:.0f} s; {lines} log lines in that time"
    )


def read_nothing(port: int, number: int) -> None:
    """Request the list of tasks on many connections, and never read the answer."""
    stuck = []
    for _ in range(number):
        with suppress(OSError):
            stranger = socket.socket()
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stranger.connect(("127.0.0.1", port))
            stranger.sendall(b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            stuck.append(stranger)
    threading.Event().wait()


def stuck_readers(number: int = 500) -> str:
    """Request a list of 8.6 MB many times, and read none of it."""
    with service_at_work() as (service, _, database):
        execute(
            database,
            "INSERT INTO tasks SELECT gen_random_uuid(), 'Buy groceries', repeat('x', 200), false, now(), now()"
            " FROM generate_series(1, 20000)",
        )
        address = f"http://127.0.0.1:{service.port}"
        statuses: list[int] = []
        highest = 0
        with by_another_process(partial(read_nothing, service.port, number)):
            ends = time.monotonic() + 20
            while time.monotonic() < ends:
                statuses.append(httpx.get(f"{address}/tasks", timeout=PATIENCE_S).status_code)
                highest = max(highest, temporary_bytes(service))
            started = time.monotonic()
            service.process.terminate()
            service.wait()
        seconds = time.monotonic() - started
    counts = ", ".join(f"{statuses.count(status)} times {status}" for status in sorted(set(statuses)))
    return (
        f"{number} readers: at most {highest / MEGABYTE:.0f} MiB on disk; other lists {counts}; stop in {seconds:.1f} s"
    )


def hot_row(callers: int = 200, seconds: float = 30) -> str:
    """Lock one row, and have many callers try to change it."""
    with service_at_work() as (service, api, database):
        hot, other = (api.create_task()["id"] for _ in range(2))
        address = f"http://127.0.0.1:{service.port}"
        calls: dict[str, Call] = {
            "get": partial(get, f"/tasks/{other}"),
            "post": create_task,
            "ready": partial(get, "/health/ready"),
        }
        with Probe(address, calls) as probe:
            time.sleep(QUIET_S)
            quiet = {name: probe.latencies(name) for name in calls}
            with (
                transaction(database, f"SELECT FROM tasks WHERE id = '{hot}' FOR UPDATE"),
                by_another_process(partial(complete_again_and_again, service.port, hot, callers)),
            ):
                time.sleep(seconds)
                seen = {name: probe.latencies(name) for name in calls}
    times = ", ".join(f"{name} {quiet[name].p99:.1f} to {seen[name].p99:.1f}" for name in calls)
    return f"{callers} callers at a row that is locked for {seconds:.0f} s: {len(probe.errors)} errors; p99 ms: {times}"


def complete_again_and_again(port: int, task_id: str, callers: int) -> None:
    """Complete one task again and again, with many callers at once."""
    request = b"PATCH /tasks/%s/complete HTTP/1.1\r\nHost: localhost\r\n\r\n" % task_id.encode()

    async def complete() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            writer.write(request)
            # Every answer is shorter, and arrives in one piece.
            await reader.read(MEGABYTE)

    async def complete_all() -> None:
        await asyncio.gather(*(complete() for _ in range(callers)))

    asyncio.run(complete_all())


def requests_about(task_id: str) -> list[bytes]:
    """Return requests of every kind, good and bad."""
    paths = [f"/tasks/{task_id}", "/history?limit=5", "/tasks?limit=5", "/stats/weekly", "/nowhere"]
    return [
        *(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode() for path in paths),
        *(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in (b'{"title": "Buy"}', b"nothing")),
        b"PATCH /tasks/%s/complete HTTP/1.1\r\nHost: localhost\r\n\r\n" % task_id.encode(),
    ]


def send_some(port: int, requests: Sequence[bytes], batches: int) -> None:
    """Send `batches` of 50 requests and read the answers; after each batch, break off one request in the middle."""
    chance = random.Random(batches)  # noqa: S311
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as caller:
        for _ in range(batches):
            caller.sendall(b"".join(chance.choices(requests, k=50)))
            answers = b""
            while answers.count(b"HTTP/1.1 ") < 50 or not answers.endswith(b"}"):
                answers += caller.recv(MEGABYTE)
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as cut:
                request = chance.choice(requests)
                cut.sendall(request[: chance.randrange(1, len(request))])


def mixed_requests(number: int = 200_000) -> str:
    """Send requests of every kind, and now and then break one off in the middle."""
    # Without a log line for each request, which this process would have to keep.
    with service_at_work(LOG_LEVEL="WARNING") as (service, api, _):
        requests = requests_about(api.create_task()["id"])
        process = psutil.Process(service.process.pid)
        states = []
        for share in (0.1, 0.9):
            with ThreadPoolExecutor(8) as threads:
                for _ in range(8):
                    threads.submit(send_some, service.port, requests, round(number * share / 50 / 8))
            wait_until(lambda: len(process.net_connections("tcp")) <= 2)
            states.append((memory_mib(service), process.num_fds(), process.num_threads(), temporary_bytes(service)))
    names = ("memory MiB", "descriptors", "threads", "temporary bytes")
    changes = ", ".join(f"{name} {old:.0f} to {new:.0f}" for name, old, new in zip(names, *states, strict=True))
    return f"{number} requests, and {number // 50} that end in the middle; after a tenth and after all: {changes}"


ATTACKS: list[Callable[[], str]] = [floods, idle_connections, stuck_readers, hot_row, mixed_requests]
