"""`make torture`: every drill but the loss of machines, for some minutes, with a line of results for each."""

import logging
import sys
import time
from collections.abc import Callable
from functools import partial

import psutil

from main import create_app
from src.database.migrate import prepare_schema
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from tests.drills.attacks import ATTACKS
from tests.drills.faults import (
    Outcome,
    disturb_database,
    kill_service,
    race_for_a_task,
    restart_database,
    service_on,
    step_clock,
    terminate_service,
)
from tests.drills.raw_requests import RawRequests
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import new_database, settings_for
from tests.support.live_server import serve
from tests.support.model import hold_to_model

FAULTS: list[tuple[str, Callable[[int], Outcome], int]] = [
    ("immediate restarts of the database", restart_database, 50),
    ("immediate restarts behind PgBouncer", partial(restart_database, through_pgbouncer=True), 50),
    ("kill -9 of the service", kill_service, 100),
    ("SIGTERM of the service", terminate_service, 50),
    ("1,000 racing callers of one task", race_for_a_task, 10),
    ("VACUUM FULL, REINDEX, no connections", disturb_database, 20),
    ("steps of the clock by ten minutes", step_clock, 20),
]


def fuzz(requests: int) -> str:
    """Send raw requests, and say how much the service's memory grew after the first tenth of them."""
    with (
        cluster_dir() as data_dir,
        EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres,
        service_on(postgres.url) as service,
    ):
        process = psutil.Process(service.process.pid)
        raw = RawRequests("127.0.0.1", service.port, seed=1)
        raw.send(requests // 10)
        before = process.memory_info().rss
        raw.send(requests - requests // 10)
        grown = (process.memory_info().rss - before) / 2**20
    return f"{len(raw.server_errors)} answers of 5xx to {requests} requests; memory grew by {grown:.1f} MiB"


def model(runs: int, steps: int) -> str:
    """Compare the API with its model, on a PostgreSQL of their own."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        prepare_schema(settings_for(postgres.url))
        with new_database(postgres.url) as template:
            prepare_schema(settings_for(template))
            clone = partial(new_database, postgres.url, str(template.database))
            with serve(create_app(settings_for(postgres.url))) as (app, address):
                hold_to_model(app, address, clone, runs, steps)
    return f"no divergence in {runs} runs of at most {steps} steps"


def main() -> None:
    """Print a line for each drill; exit with status 1 if one of the faults left anything wrong."""
    # Every restart of a killed server is logged, and here there are hundreds.
    logging.disable(logging.WARNING)
    width = max(len(name) for name, _, _ in FAULTS)
    print(f"{'fault':{width}}  rounds  changes  errors  lost  illegal  orphans  miscounted  twice  unheard  seconds")
    flawless = True
    for name, rounds_of, rounds in FAULTS:
        started = time.monotonic()
        outcome = rounds_of(rounds)
        flawless &= not any(outcome[1:])
        print(
            f"{name:{width}}  {rounds:6}  {outcome.changes:7}  {outcome.errors:6}  {outcome.lost:4}"
            f"  {outcome.illegal:7}  {outcome.orphans:7}  {outcome.miscounted:10}  {outcome.twice:5}"
            f"  {outcome.unheard:7}  {time.monotonic() - started:7.0f}",
            flush=True,
        )
    print("fuzz:  ", fuzz(100_000), flush=True)
    print("model: ", model(1000, 50), flush=True)
    for attack in ATTACKS:
        print("attack:", attack(), flush=True)
    sys.exit(not flawless)


if __name__ == "__main__":
    main()
