"""Rounds of one fault each, under eight writers, and what the callers and the database show afterwards.

`make torture` runs them for minutes; tests/integration/test_faults.py runs the same for seconds.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

import httpx
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from config import BACKEND
from src.embedded_postgres.server import EmbeddedPostgres
from tests.support.audit import audit
from tests.support.client import Api, Json
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import environment_of, execute, transaction
from tests.support.event_stream import Listener
from tests.support.load import Writers
from tests.support.pgbouncer import pgbouncer
from tests.support.service import MAIN, Service, free_port, running
from tests.support.waiting import wait_until

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
    twice: int
    # Entries that a listener of GET /events was not told of.
    unheard: int = 0


def restart_database(rounds: int, *, through_pgbouncer: bool = False) -> Outcome:
    """Crash and restart the database, as `pg_ctl restart -m immediate` does, in each round."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        url = postgres.url
        with pgbouncer(url) if through_pgbouncer else nullcontext(url) as front:
            with running(MAIN, BACKEND, DATABASE_URL=environment_of(front), **PATIENT) as (service, _):
                address = f"http://127.0.0.1:{service.port}"
                with Writers(address) as writers, Listener([address]) as listener:
                    for _ in range(rounds):
                        writers.wait_for_changes(CHANGES)
                        # SIGQUIT is PostgreSQL's immediate shutdown; EmbeddedPostgres restarts it. On a busy
                        # machine it may still be down from the last round.
                        with suppress(ProcessLookupError):
                            os.kill(postgres.pid, signal.SIGQUIT)
                    writers.wait_for_changes(CHANGES)
                    writers.stop()
                    unheard = _unheard(listener, url)
            return _outcome(url, writers, broken=len(writers.broken), unheard=unheard)


def kill_service(rounds: int) -> Outcome:
    """Kill the service with SIGKILL, and start it again, in each round."""
    return _replace_service(rounds, signal.SIGKILL, keep_alive=True)


def terminate_service(rounds: int) -> Outcome:
    """Stop the service with SIGTERM, and start it again, in each round. It must not break a connection."""
    return _replace_service(rounds, signal.SIGTERM, keep_alive=False)


def _replace_service(rounds: int, how: signal.Signals, *, keep_alive: bool) -> Outcome:
    """Meanwhile, callers repeat their requests until the next process answers them."""
    port = free_port()
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        address = f"http://127.0.0.1:{port}"
        with Writers(address, keep_alive=keep_alive) as writers, Listener([address]) as listener:
            for _ in range(rounds):
                with service_on(postgres.url, port) as service:
                    writers.wait_for_changes(CHANGES)
                    service.stop(how)
            with service_on(postgres.url, port):
                writers.wait_for_changes(CHANGES)
                writers.stop()
                unheard = _unheard(listener, postgres.url)
        broken = 0 if how is signal.SIGKILL else len(writers.broken)
        return _outcome(postgres.url, writers, broken=broken, unheard=unheard)


@contextmanager
def service_on(url: URL, port: int | None = None) -> Iterator[Service]:
    with running(MAIN, DATABASE_URL=environment_of(url), PORT=str(port or free_port())) as (service, _):
        yield service


def _unheard(listener: Listener, url: URL) -> int:
    """Return how many entries the listener is not told of, however long it waits."""
    entries = {row.history_id for row in execute(url, "SELECT history_id::text FROM task_history")}
    with suppress(AssertionError):
        listener.wait_for(entries)
    return len(entries - listener.told) + len(listener.errors)


def _outcome(url: URL, writers: Writers, broken: int = 0, unheard: int = 0) -> Outcome:
    findings = audit(url, writers.acknowledged, len(writers.abandoned))
    return Outcome(
        changes=len(writers.acknowledged),
        errors=len(writers.errors) + broken,
        lost=len(findings.lost),
        illegal=len(findings.illegal),
        orphans=len(findings.orphans),
        miscounted=len(findings.miscounted),
        twice=len(findings.twice),
        unheard=unheard,
    )


def race_for_a_task(rounds: int) -> Outcome:
    """Let 1,000 callers, 50 at a time, complete, reopen, edit, delete and restore one task, in each round.

    A fifth of them undo a recent change of somebody.
    """
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        statuses = []
        with service_on(postgres.url) as service, Api(f"http://127.0.0.1:{service.port}") as api:
            for _ in range(rounds):
                calls = _racing_calls(api)
                with ThreadPoolExecutor(50) as threads:
                    answers = [threads.submit(call) for call in calls]
                statuses += [answer.result().status_code for answer in answers]
        findings = audit(postgres.url, [])
        return Outcome(
            changes=len(statuses),
            errors=sum(status not in (200, 404, 409) for status in statuses),
            lost=0,
            illegal=len(findings.illegal),
            orphans=len(findings.orphans),
            miscounted=len(findings.miscounted),
            twice=len(findings.twice),
        )


def _racing_calls(api: Api) -> list[Callable[[], httpx.Response]]:
    path = f"/tasks/{api.create_task()['id']}"
    entries: list[str] = []

    def change(method: str, path: str, body: Json = None) -> httpx.Response:
        response = api.request(method, path, json=body)
        entries.extend(response.headers.get_list("History-ID"))
        return response

    def undo() -> httpx.Response:
        wait_until(lambda: entries)
        return change("POST", f"/history/{entries[-1]}/undo")

    calls: list[Callable[[], httpx.Response]] = [
        partial(change, "PATCH", f"{path}/complete"),
        partial(change, "PATCH", f"{path}/incomplete"),
        partial(change, "PUT", path, {"title": "Other"}),
        partial(change, "PUT", path, {"title": "Another"}),
        undo,
    ] * 200
    for turn in (300, 600, 900):
        calls[turn] = partial(change, "DELETE", path)
    return calls


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
