"""Measures readers during a storm of writers, without and with a snapshot that is held open."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import URL

from benchmarks.load import Answers, Work, send_requests
from benchmarks.report import console, number, table
from benchmarks.sides import SERVICE, serve
from benchmarks.works import COMPLETE, GET, PAGE_1, POST, PUT, STATS
from tests.support.databases import transaction

# Every fourth completion changes nothing, because half of the tasks are complete at first.
WRITERS = {POST: 2, PUT: 3, COMPLETE: 3}
# The last one needs no counts: its times show what the storm costs the machine as such.
READERS = (PAGE_1, STATS, GET)
SNAPSHOT_S = 60
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM tasks LIMIT 1"


def print_storm(database: URL, tasks: int, seconds: int) -> None:
    """Print how long readers wait before, during and after a storm of writers."""
    # The writers have a process of their own: readers wait for the database, not for their turn in Python.
    with (
        serve(SERVICE, database) as readers,
        serve(SERVICE, database) as writers,
        ThreadPoolExecutor(len(WRITERS) + len(READERS)) as threads,
    ):

        def send(address: str, work: Work, callers: int, seconds: int) -> Future[Answers]:
            return threads.submit(send_requests, address, work, tasks=tasks, callers=callers, seconds=seconds)

        def read(*, storm_s: int = 0) -> list[Answers]:
            """Read for `seconds`, which are the last ones of a storm of `storm_s` seconds, if any."""
            writing = [send(writers.address, *writer, storm_s) for writer in WRITERS.items() if storm_s]
            time.sleep(max(0, storm_s - seconds))
            reading = [send(readers.address, work, 1, seconds) for work in READERS]
            written, seen = ([done.result() for done in futures] for futures in (writing, reading))
            if storm_s:
                writes, failures = sum(each.answers for each in written), sum(each.failures for each in written + seen)
                console.print(f"A storm of {writes:,} writes in {storm_s} s; {failures} requests failed.")
            return seen

        read()
        phases = {"idle": read(), "storm": read(storm_s=seconds)}
        with transaction(database, SNAPSHOT):
            phases[f"with a snapshot of {SNAPSHOT_S} s"] = read(storm_s=SNAPSHOT_S + seconds)
        phases["after it"] = read()
    rows = []
    for place, work in enumerate(READERS):
        idle, *others = (seen[place].p50_ms for seen in phases.values())
        rows.append([work.name, number(idle), *(f"{number(p50)} ({p50 / idle:.2f})" for p50 in others)])
    title = f"With {sum(WRITERS.values())} writers: p50 ms of one caller each (ratio to idle)"
    table(title, ["work", *phases], rows)
