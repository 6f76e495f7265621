"""Rounds of one fault each, under eight writers, and what the callers and the database show afterwards.

`make torture` runs them for minutes; tests/integration/test_faults.py runs the same for seconds.
"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from config import BACKEND
from src.embedded_postgres.server import EmbeddedPostgres
from tests.support.audit import audit
from tests.support.client import Api
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import environment_of, execute, transaction
from tests.support.load import Writers
from tests.support.pgbouncer import pgbouncer
from tests.support.service import MAIN, Service, running

# The service waits as long as a busy machine may take to restart PostgreSQL.
PATIENT = {"REPEAT_BUDGET_S": "60", "QUEUE_TIMEOUT_S": "60"}
# How many changes must be acknowledged between one fault and the next.
CHANGES = 100


class Outcome(NamedTuple):
    """What the rounds of one fault led to. Everything but `changes` should be 0."""

    changes: int
    errors: int
    lost: int
    illegal: int
    orphans: int
    miscounted: int


def restart_database(rounds: int, *, through_pgbouncer: bool = False) -> Outcome:
    """Crash and restart the database, as `pg_ctl restart -m immediate` does, in each round."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        url = postgres.url
        with pgbouncer(url) if through_pgbouncer else nullcontext(url) as front:
            with running(MAIN, BACKEND, DATABASE_URL=environment_of(front), **PATIENT) as (service, _):
                writers = Writers(f"http://127.0.0.1:{service.port}")
                with writers:
                    for _ in range(rounds):
                        writers.wait_for_changes(CHANGES)
                        # SIGQUIT is PostgreSQL's immediate shutdown; EmbeddedPostgres restarts it. On a busy
                        # machine it may still be down from the last round.
                        with suppress(ProcessLookupError):
                            os.kill(postgres.pid, signal.SIGQUIT)
                    writers.wait_for_changes(CHANGES)
            return _outcome(url, writers, broken=len(writers.broken))


def kill_service(rounds: int) -> Outcome:
    """Kill the service with SIGKILL in each round."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        outcomes = []
        for _ in range(rounds):
            with service_on(postgres.url) as service, Writers(f"http://127.0.0.1:{service.port}") as writers:
                writers.wait_for_changes(CHANGES)
                service.process.kill()
                service.wait()
            outcomes.append(_outcome(postgres.url, writers))
        return Outcome(*map(sum, zip(*outcomes, strict=True)))


def terminate_service(rounds: int) -> Outcome:
    """Stop the service with SIGTERM in each round; a connection that it breaks counts as an error."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        outcomes = []
        for _ in range(rounds):
            with (
                service_on(postgres.url) as service,
                Writers(f"http://127.0.0.1:{service.port}", keep_alive=False) as writers,
            ):
                writers.wait_for_changes(CHANGES)
                service.process.send_signal(signal.SIGTERM)
                service.wait()
            outcomes.append(_outcome(postgres.url, writers, broken=len(writers.broken)))
        return Outcome(*map(sum, zip(*outcomes, strict=True)))


@contextmanager
def service_on(url: URL) -> Iterator[Service]:
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
    """Let 1,000 callers, 50 at a time, complete, reopen, edit and delete one task, in each round."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        changes = 0
        errors = 0
        with service_on(postgres.url) as service, Api(f"http://127.0.0.1:{service.port}") as api:
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
    """Rewrite the tables and their indexes, then take every connection of the server, in each round."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
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
    """Set the clock of the database forward or back by ten minutes in each round (needs `faketime`)."""
    [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    with TemporaryDirectory() as directory, cluster_dir() as data_dir:
        step = Path(directory, "step")
        # PostgreSQL may run as another account.
        step.parent.chmod(0o755)
        step.write_text("+0m")
        faked = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(step), "FAKETIME_NO_CACHE": "1"}
        with ExitStack() as stack:
            # Only the server's clock.
            with patch.dict(os.environ, faked):
                postgres = stack.enter_context(EmbeddedPostgres(data_dir, FSYNC_OFF))
            with service_on(postgres.url) as service, Writers(f"http://127.0.0.1:{service.port}") as writers:
                for turn in range(rounds):
                    step.write_text(("+10m", "-10m")[turn % 2])
                    writers.wait_for_changes(CHANGES)
                [row] = execute(postgres.url, "SELECT extract(epoch FROM clock_timestamp()) AS now")
                assert abs(float(row.now) - time.time()) > 300, "The clock has not stepped."
            return _outcome(postgres.url, writers, broken=len(writers.broken))
