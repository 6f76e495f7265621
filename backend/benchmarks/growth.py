"""Compares a long history with a short one; measures a list too long for memory, and a storm of writers."""

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import httpx
import psutil
import psycopg2
from sqlalchemy import URL

from benchmarks.data import create_database, fill, running_postgres, service_schema
from benchmarks.load import Work, is_named, send_requests
from benchmarks.report import console, machine, number, progress, spread, table
from benchmarks.sides import SERVICE, serve
from benchmarks.storm import print_storm
from benchmarks.works import GET, PAGE_1, PAGE_100, STATS
from src.database.connection import connect_arguments
from src.embedded_postgres.programs import programs_for
from src.services.history_page import page_of_history
from src.services.task_list import ALL_TASKS
from tests.support.background import in_background
from tests.support.databases import settings_for

# How much smaller the short history is.
FRACTION = 1000
CALLERS = (1, 32)
LISTED_TASKS = 300_000

OF_ONE_ACTION = Work("history page 1 of an action", "/history?action_type=INCOMPLETED")
OF_ONE_TASK = Work("history page 1 of a task", "/history?task_id={id}")
OF_BOTH = Work("history page 1 of both", "/history?task_id={id}&action_type=UPDATED")
WORKS = (GET, PAGE_1, OF_ONE_ACTION, OF_ONE_TASK, OF_BOTH, PAGE_100, STATS)


def run(tasks: int, rounds: int, seconds: int, only: Sequence[str]) -> None:
    """Measure everything `rounds` times, or only the sections that match `only`, and print the results."""
    with running_postgres() as server:
        sizes = {"short": max(tasks // FRACTION, 100), "long": tasks}
        listed = min(LISTED_TASKS, tasks)
        databases = {name: create_database(server, name, service_schema) for name in (*sizes, "listed")}
        with progress() as bars:
            for name, size in sizes.items():
                fill(databases[name], size, bars)
            fill(databases["listed"], listed, bars, history=False)
        console.print(machine())
        sections: dict[str, Callable[[], None]] = {
            "reads": lambda: _print_reads(databases, sizes, rounds, seconds),
            "page": lambda: _print_deep_page(databases["long"], page=tasks // 10),
            "list": lambda: _print_list(databases["listed"], listed, rounds),
            # Last, because it writes.
            "storm": lambda: print_storm(databases["long"], tasks, rounds * seconds),
        }
        for name, print_section in sections.items():
            if not only or is_named(name, only):
                print_section()


def _print_reads(databases: dict[str, URL], sizes: dict[str, int], rounds: int, seconds: int) -> None:
    times: dict[tuple[Work, int, str], list[float]] = defaultdict(list)
    with progress() as bars:
        job = bars.add_task("Measuring", total=rounds * len(sizes) * len(WORKS) * len(CALLERS))
        for _ in range(rounds):
            for name, size in sizes.items():
                with serve(SERVICE, databases[name]) as server:
                    for work in WORKS:
                        send_requests(server.address, work, tasks=size, callers=8, seconds=1)
                        for callers in CALLERS:
                            seen = send_requests(server.address, work, tasks=size, callers=callers, seconds=seconds)
                            times[work, callers, name].append(1000 / seen.per_second)
                            bars.advance(job)
    for callers in CALLERS:
        rows = []
        for work in WORKS:
            long, short = (times[work, callers, name] for name in ("long", "short"))
            ratio = median(one / other for one, other in zip(long, short, strict=True))
            rows.append([work.name, spread(long), spread(short), f"{ratio:.2f}"])
        entries = {name: f"{size * 10:,} entries" for name, size in sizes.items()}
        table(
            f"Milliseconds per response, {callers} callers", ["work", entries["long"], entries["short"], "ratio"], rows
        )


def _print_deep_page(database: URL, page: int) -> None:
    connection = psycopg2.connect(**connect_arguments(settings_for(database)))
    statement = page_of_history((), (page - 1) * 10, None)
    parameters = {"offset": (page - 1) * 10, "limit": 10}
    times_ms = []
    with connection.cursor() as cursor:
        cursor.execute(statement.prepare_sql, parameters)
        for _ in range(20):
            started = time.perf_counter()
            cursor.execute(statement.execute_sql, parameters)
            assert cursor.fetchall()
            times_ms.append((time.perf_counter() - started) * 1000)
    connection.close()
    console.print(f"History page {page:,} of 10, in the database: {number(median(times_ms))} ms.")


def _print_list(database: URL, tasks: int, rounds: int) -> None:
    """Print how long the whole list takes, compared with psql, which only copies the same JSON."""
    psql = [str(programs_for(None) / "psql"), "--host", str(database.query["host"]), "--username", "postgres"]
    copy = f"\\copy ({' '.join(ALL_TASKS.sql.split(chr(10)))}) TO '/dev/null'"
    listing_s, copying_s = [], []
    with serve(SERVICE, database) as server:
        httpx.get(f"{server.address}/tasks?limit=100")
        before = server.process.memory_info().rss
        with _peak_memory(server.process) as peak:
            for _ in range(rounds):
                started = time.perf_counter()
                length = 0
                with httpx.stream("GET", f"{server.address}/tasks", timeout=60) as response:
                    for chunk in response.iter_raw():
                        length += len(chunk)
                listing_s.append(time.perf_counter() - started)
                started = time.perf_counter()
                subprocess.run([*psql, "--command", copy, str(database.database)], check=True, capture_output=True)
                copying_s.append(time.perf_counter() - started)
    ratio = median(one / other for one, other in zip(listing_s, copying_s, strict=True))
    console.print(
        f"GET /tasks with {tasks:,} tasks ({length / 2**20:.0f} MiB): {spread(listing_s)} s,"
        f" psql's COPY of the same JSON: {spread(copying_s)} s, ratio {ratio:.2f};"
        f" the service's memory grew by {(max(peak) - before) / 2**20:.1f} MiB."
    )


@contextmanager
def _peak_memory(process: psutil.Process) -> Iterator[list[int]]:
    """Record the memory of `process` in bytes, every few milliseconds, until the block is left."""
    seen = [process.memory_info().rss]

    def watch(stop: threading.Event) -> None:
        while not stop.wait(0.005):
            seen.append(process.memory_info().rss)

    with in_background(watch):
        yield seen
