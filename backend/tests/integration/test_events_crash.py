"""GET /events after a crash of the database or its return to a copy, which give ids of transactions out again."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from psycopg2.extensions import connection
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from main import create_app
from src.database.migrate import prepare_schema
from src.embedded_postgres.server import EmbeddedPostgres
from tests.support.client import Api
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import execute, settings_for
from tests.support.entries import commit_entries, sql_client, write_entries
from tests.support.event_stream import Listener, watch
from tests.support.live_server import serve
from tests.support.waiting import wait_until

# So many transactions are rolled back, and their ids given out again.
TRANSACTIONS = 30
# Nothing writes the WAL of a transaction that is rolled back before the crash.
LAZY = FSYNC_OFF | {"wal_writer_delay": "10s", "autovacuum": "off"}
STARTED = "SELECT pg_postmaster_start_time()"


@contextmanager
def crashing_postgres() -> Iterator[EmbeddedPostgres]:
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, LAZY) as postgres:
        prepare_schema(settings_for(postgres.url))
        yield postgres


def roll_back(client: connection) -> None:
    for _ in range(TRANSACTIONS):
        write_entries(client)
        client.rollback()


def crash(postgres: EmbeddedPostgres) -> None:
    """Crash the database, and wait until it is back. SIGQUIT is its immediate shutdown."""
    before = execute(postgres.url, STARTED)
    os.kill(postgres.pid, signal.SIGQUIT)
    wait_until(lambda: execute(postgres.url, STARTED) != before, not_yet=(DBAPIError,))


def test_entries_whose_transaction_ids_were_in_use_before_a_crash_are_sent() -> None:
    with (
        crashing_postgres() as postgres,
        serve(create_app(settings_for(postgres.url))) as (_, address),
        Api(address) as api,
    ):
        api.create_task()
        with sql_client(postgres.url) as client:
            roll_back(client)
        with Listener([address]) as listener, watch(api) as stream:
            position = stream.last_id
            wait_until(lambda: listener.last_id)
            crash(postgres)
            sql = partial(execute, postgres.url)
            written = [history_id for _ in range(TRANSACTIONS) for history_id in commit_entries(sql)]
            listener.wait_for(written)
            assert listener.resets == 0
        with watch(api, position) as stream:
            assert [entry["history_id"] for entry in stream.entries(TRANSACTIONS)] == written


@contextmanager
def service_on(data_dir: Path) -> Iterator[tuple[Api, URL]]:
    with EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
        prepare_schema(settings_for(postgres.url))
        with serve(create_app(settings_for(postgres.url))) as (_, address), Api(address) as api:
            yield api, postgres.url


def test_a_position_that_a_copy_of_the_data_does_not_know_gets_a_reset(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with cluster_dir() as data_dir:
        with service_on(data_dir) as (api, _):
            api.create_task()
        subprocess.run(["cp", "-a", data_dir, copy], check=True)  # noqa: S607
        with service_on(data_dir) as (api, url), watch(api) as stream:
            commit_entries(partial(execute, url))
            stream.take()
            position = stream.last_id
        shutil.rmtree(data_dir)
        subprocess.run(["cp", "-a", copy, data_dir], check=True)  # noqa: S607
        with service_on(data_dir) as (api, url):
            for _ in range(4):
                commit_entries(partial(execute, url))
            with watch(api, position) as stream:
                assert stream.take()[0].type == "reset"
