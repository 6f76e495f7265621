"""`make torture`: the service under faults, for minutes; the tests run the same for seconds.

Each function runs rounds of one fault under eight writers, and returns what went wrong.
"""

import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

import psutil
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from config import BACKEND
from main import create_app
from src.database.migrate import prepare_schema
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from tests.drills.attacks import ATTACKS
from tests.drills.raw_requests import Fuzzer
from tests.support.client import Api
from tests.support.clusters import cluster_dir
from tests.support.databases import environment_of, execute, settings_for, transaction
from tests.support.live_server import serve
from tests.support.load import Writers, audit
from tests.support.model import hold_to_model
from tests.support.pgbouncer import pgbouncer
from tests.support.service import MAIN, Service, running

# No crash of the machine is tested, and a killed process loses nothing that it has written.
SETTINGS = {"fsync": "off"}
# However long a busy machine takes to start PostgreSQL again.
PATIENT = {"REPEAT_BUDGET_S": "60", "QUEUE_TIMEOUT_S": "60"}
# How much happens between one fault and the next.
CHANGES = 100


class Outcome(NamedTuple):
    """What the rounds of one fault led to; all but `changes` should be 0."""

    changes: int
    errors: int
    lost: int
    illegal: int
    orphans: int
    miscounted: int


def restart_database(rounds: int, *, through_pgbouncer: bool = False) -> Outcome:
    """Restart the database at once, as `pg_ctl restart -m immediate` does, again and again."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, SETTINGS) as postgres:
        url = postgres.url
        with pgbouncer(url) if through_pgbouncer else nullcontext(url) as front:
            with running(MAIN, BACKEND, DATABASE_URL=environment_of(front), **PATIENT) as (service, _):
                writers = Writers(f"http://127.0.0.1:{service.port}")
                with writers:
                    for _ in range(rounds):
                        writers.wait_for_changes(CHANGES)
                        # The immediate shutdown of PostgreSQL, which then is started again. On a busy
                        # machine it may still be down from the last time.
                        with suppress(ProcessLookupError):
                            os.kill(postgres.pid, signal.SIGQUIT)
                    writers.wait_for_changes(CHANGES)
            return _outcome(url, writers, broken=len(writers.broken))


def kill_service(rounds: int) -> Outcome:
    """Kill the service with SIGKILL, again and again."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, SETTINGS) as postgres:
        outcomes = []
        for _ in range(rounds):
            with _service(postgres.url) as service, Writers(f"http://127.0.0.1:{service.port}") as writers:
                writers.wait_for_changes(CHANGES)
                service.process.kill()
                service.wait()
            outcomes.append(_outcome(postgres.url, writers))
        return Outcome(*map(sum, zip(*outcomes, strict=True)))


def terminate_service(rounds: int) -> Outcome:
    """Stop the service with SIGTERM; a connection that breaks then counts as an error."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, SETTINGS) as postgres:
        outcomes = []
        for _ in range(rounds):
            with (
                _service(postgres.url) as service,
                Writers(f"http://127.0.0.1:{service.port}", keep_alive=False) as writers,
            ):
                writers.wait_for_changes(CHANGES)
                service.process.send_signal(signal.SIGTERM)
                service.wait()
            outcomes.append(_outcome(postgres.url, writers, broken=len(writers.broken)))
        return Outcome(*map(sum, zip(*outcomes, strict=True)))


@contextmanager
def _service(url: URL) -> Iterator[Service]:
    with running(MAIN, DATABASE_URL=environment_of(url)) as (service, _):
        yield service


def _outcome(url: URL, writers: Writers, broken: int = 0) -> Outcome:
    findings = audit(url, writers.acknowledged)
    return Outcome(
        changes=len(writers.acknowledged),
        errors=len(writers.errors) + broken,
        lost=len(findings.lost),
        illegal=len(findings.illegal),
        orphans=len(findings.orphans),
        miscounted=len(findings.miscounted),
    )


def race_for_a_task(rounds: int) -> Outcome:
    """Let 1,000 callers in all, 50 at a time, complete, reopen, edit and delete one task."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, SETTINGS) as postgres:
        changes = 0
        errors = 0
        with _service(postgres.url) as service, Api(f"http://127.0.0.1:{service.port}") as api:
            for _ in range(rounds):
                path = f"/tasks/{api.create_task()['id']}"
                calls = [
                    partial(api.patch, f"{path}/complete"),
                    partial(api.patch, f"{path}/incomplete"),
                    partial(api.put, path, json={"title": "Other"}),
                    partial(api.put, path, json={"title": "Another"}),
                ] * 250
                calls[900] = partial(api.delete, path)
                with ThreadPoolExecutor(50) as threads:
                    statuses = [future.result().status_code for future in [threads.submit(call) for call in calls]]
                errors += sum(status not in (200, 404) for status in statuses)
                changes += len(statuses)
        findings = audit(postgres.url, [])
        return Outcome(
            changes,
            errors,
            lost=0,
            illegal=len(findings.illegal),
            orphans=len(findings.orphans),
            miscounted=len(findings.miscounted),
        )


def disturb_database(rounds: int) -> Outcome:
    """Rewrite the tables and their indexes, and take every connection that the server has, again and again."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, SETTINGS) as postgres:
        with (
            running(MAIN, BACKEND, DATABASE_URL=environment_of(postgres.url), **PATIENT) as (service, _),
            Writers(f"http://127.0.0.1:{service.port}") as writers,
        ):
            for _ in range(rounds):
                for statement in (
                    "VACUUM FULL tasks, task_history",
                    "REINDEX TABLE tasks",
                    "REINDEX TABLE task_history",
                ):
                    execute(postgres.url, statement)
                with ExitStack() as stack:
                    with suppress(OperationalError):
                        while True:
                            stack.enter_context(transaction(postgres.url, "SELECT 1"))
                    writers.wait_for_changes(CHANGES)
        return _outcome(postgres.url, writers, broken=len(writers.broken))


def step_clock(rounds: int) -> Outcome:
    """Let the clock of the database step forth and back by ten minutes, again and again (needs `faketime`)."""
    [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    with TemporaryDirectory() as directory, cluster_dir() as data_dir:
        step = Path(directory, "step")
        # PostgreSQL may run as another account.
        step.parent.chmod(0o755)
        step.write_text("+0m")
        faked = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(step), "FAKETIME_NO_CACHE": "1"}
        with ExitStack() as stack:
            # Of the server alone.
            with patch.dict(os.environ, faked):
                postgres = stack.enter_context(EmbeddedPostgres(data_dir, SETTINGS))
            with _service(postgres.url) as service, Writers(f"http://127.0.0.1:{service.port}") as writers:
                for turn in range(rounds):
                    step.write_text(("+10m", "-10m")[turn % 2])
                    writers.wait_for_changes(CHANGES)
                [row] = execute(postgres.url, "SELECT extract(epoch FROM clock_timestamp()) AS now")
                assert abs(float(row.now) - time.time()) > 300, "The clock has not stepped."
            return _outcome(postgres.url, writers, broken=len(writers.broken))


CHECKS: list[tuple[str, Callable[[int], Outcome], int]] = [
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
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, SETTINGS) as postgres, _service(postgres.url) as service:
        process = psutil.Process(service.process.pid)
        fuzzer = Fuzzer("127.0.0.1", service.port, seed=1)
        fuzzer.run(requests // 10)
        before = process.memory_info().rss
        fuzzer.run(requests - requests // 10)
        grown = (process.memory_info().rss - before) / 2**20
    return f"{len(fuzzer.server_errors)} answers of 5xx to {requests} requests; memory grew by {grown:.1f} MiB"


def model(runs: int, steps: int) -> str:
    """Hold the API to its model, on a server and a database of its own."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        prepare_schema(settings_for(postgres.url))
        template = postgres.url.set(database="template")
        execute(postgres.url, "CREATE DATABASE template")
        prepare_schema(settings_for(template))

        @contextmanager
        def clone() -> Iterator[URL]:
            name = f"run_{secrets.token_hex(6)}"
            execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template")
            yield postgres.url.set(database=name)
            execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")

        with serve(create_app(settings_for(postgres.url))) as (app, address):
            hold_to_model(app, address, clone, runs, steps)
    return f"no divergence in {runs} runs of at most {steps} steps"


def main() -> None:
    """Print a line for each check; exit with 1 where one found anything wrong."""
    # That a server which was killed is started again is no news here.
    logging.disable(logging.WARNING)
    width = max(len(name) for name, _, _ in CHECKS)
    print(f"{'check':{width}}  rounds  changes  errors  lost  illegal  orphans  miscounted  seconds")
    flawless = True
    for name, check, rounds in CHECKS:
        started = time.monotonic()
        outcome = check(rounds)
        flawless &= not any(outcome[1:])
        print(
            f"{name:{width}}  {rounds:6}  {outcome.changes:7}  {outcome.errors:6}  {outcome.lost:4}"
            f"  {outcome.illegal:7}  {outcome.orphans:7}  {outcome.miscounted:10}  {time.monotonic() - started:7.0f}",
            flush=True,
        )
    print("fuzz:  ", fuzz(100_000), flush=True)
    print("model: ", model(1000, 50), flush=True)
    for attack in ATTACKS:
        print("attack:", attack(), flush=True)
    sys.exit(not flawless)


if __name__ == "__main__":
    main()
