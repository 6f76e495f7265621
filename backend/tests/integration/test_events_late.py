"""GET /events leaves no entry out, however late and in which order the transactions end."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import pytest
from psycopg2.extensions import connection
from sqlalchemy import URL

from main import create_app
from src.database.migrate import prepare_schema
from src.embedded_postgres.server import EmbeddedPostgres
from tests.support.client import Api
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import Sql, environment_of, execute, settings_for
from tests.support.entries import commit_entries, sql_client, write_entries
from tests.support.event_stream import EventStream, Listener, watch
from tests.support.live_server import serve
from tests.support.service import MAIN, running

# How many transactions can be prepared, and how many are open at the same time.
PREPARING = {"max_prepared_transactions": "200"}
OPEN = 150
WRITERS = 6
TRANSACTIONS = 12


@pytest.fixture
def watched(direct_or_pooled_url: URL) -> Iterator[Api]:
    """A service on the test's database, once directly and once behind PgBouncer."""
    with serve(create_app(settings_for(direct_or_pooled_url))) as (_, address), Api(address) as api:
        yield api


@pytest.fixture
def client(database_url: URL) -> Iterator[connection]:
    with sql_client(database_url) as client:
        yield client


def ids_of(stream: EventStream, count: int) -> list[str]:
    return [entry["history_id"] for entry in stream.entries(count)]


def others_commit(sql: Sql, stream: EventStream) -> None:
    """Let the service look for new entries several times; each time it finds only those of others."""
    for _ in range(3):
        written = commit_entries(sql)
        assert ids_of(stream, 1) == written


def test_an_entry_that_is_committed_late_is_sent(watched: Api, sql: Sql, client: connection) -> None:
    with watch(watched) as stream:
        late = write_entries(client, 2)
        others_commit(sql, stream)
        client.commit()
        assert ids_of(stream, 2) == late
        others_commit(sql, stream)


def test_an_entry_from_before_the_stream_that_is_committed_during_it_is_sent(
    watched: Api, sql: Sql, client: connection
) -> None:
    late = write_entries(client)
    with watch(watched) as stream:
        others_commit(sql, stream)
        client.commit()
        assert ids_of(stream, 1) == late


@pytest.mark.parametrize("others", [False, True])
def test_an_entry_that_was_open_when_the_position_was_taken_is_sent_to_whoever_comes_back(
    watched: Api, sql: Sql, client: connection, others: bool
) -> None:
    late = write_entries(client)
    with watch(watched) as stream:
        if others:
            others_commit(sql, stream)
        position = stream.last_id
    client.commit()
    missed = commit_entries(sql)
    for _ in range(2):
        with watch(watched, position) as stream:
            assert ids_of(stream, 2) == late + missed


def test_an_entry_that_stays_open_over_a_reconnect_is_sent_after_it(watched: Api, sql: Sql, client: connection) -> None:
    late = write_entries(client)
    with watch(watched) as stream:
        others_commit(sql, stream)
        position = stream.last_id
    for _ in range(2):
        missed = commit_entries(sql)
        with watch(watched, position) as stream:
            assert ids_of(stream, 1) == missed
            others_commit(sql, stream)
            position = stream.last_id
    with watch(watched, position) as stream:
        client.commit()
        assert ids_of(stream, 1) == late


def test_transactions_that_end_in_the_reverse_order_are_all_sent(watched: Api, database_url: URL, sql: Sql) -> None:
    with watch(watched) as stream, ExitStack() as stack:
        clients = [stack.enter_context(sql_client(database_url)) for _ in range(5)]
        written = [write_entries(client) for client in clients]
        others_commit(sql, stream)
        for client, entries in zip(reversed(clients), reversed(written), strict=True):
            client.commit()
            assert ids_of(stream, 1) == entries
            with watch(watched, stream.last_id) as resumed:
                others_commit(sql, resumed)
            stream.take(3)


def test_a_position_may_hold_as_many_open_transactions_as_there_are(watched: Api, database_url: URL, sql: Sql) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(sql_client(database_url)) for _ in range(60)]
        late = [history_id for client in clients for history_id in write_entries(client)]
        with watch(watched) as stream:
            others_commit(sql, stream)
            position = stream.last_id
        for client in clients:
            client.commit()
        with watch(watched, position) as stream:
            assert sorted(ids_of(stream, 60)) == sorted(late)


def test_a_transaction_may_write_its_entry_long_after_it_has_an_id(watched: Api, sql: Sql, client: connection) -> None:
    with client.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
    with watch(watched) as stream:
        others_commit(sql, stream)
        late = write_entries(client)
        others_commit(sql, stream)
        client.commit()
        assert ids_of(stream, 1) == late


def test_savepoints_are_sent_with_their_transaction_or_not_at_all(watched: Api, sql: Sql, client: connection) -> None:
    with watch(watched) as stream, client.cursor() as cursor:
        cursor.execute("SAVEPOINT one")
        kept = write_entries(client)
        cursor.execute("RELEASE one")
        cursor.execute("SAVEPOINT two")
        write_entries(client)
        others_commit(sql, stream)
        cursor.execute("ROLLBACK TO two")
        kept += write_entries(client)
        others_commit(sql, stream)
        client.commit()
        assert ids_of(stream, 2) == kept
        others_commit(sql, stream)


def test_what_is_rolled_back_is_never_sent(watched: Api, sql: Sql, client: connection) -> None:
    with watch(watched) as stream:
        position = stream.last_id
        write_entries(client, 5)
        others_commit(sql, stream)
        client.rollback()
        others_commit(sql, stream)
    with watch(watched, position) as stream:
        stream.take(6)
        others_commit(sql, stream)


@pytest.fixture
def preparing() -> Iterator[tuple[Api, URL]]:
    """A service on a database that can prepare transactions, which then stay open without a client."""
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF | PREPARING) as postgres:
        settings = settings_for(postgres.url)
        prepare_schema(settings)
        with serve(create_app(settings)) as (_, address), Api(address) as api:
            yield api, postgres.url


def prepare_entry(client: connection, name: str) -> str:
    """Write an entry in a transaction that is prepared under that name, and return its id."""
    [history_id] = write_entries(client)
    with client.cursor() as cursor:
        cursor.execute(f"PREPARE TRANSACTION '{name}'")
    # psycopg2 does not know that the transaction is no longer its own.
    client.rollback()
    return history_id


def test_a_prepared_transaction_is_sent_when_it_is_committed(preparing: tuple[Api, URL]) -> None:
    api, url = preparing
    sql = partial(execute, url)
    with sql_client(url) as client:
        late = prepare_entry(client, "late")
    with watch(api) as stream:
        others_commit(sql, stream)
        with watch(api, stream.last_id) as resumed:
            others_commit(sql, resumed)
            sql("COMMIT PREPARED 'late'")
            assert ids_of(resumed, 1) == [late]
        assert ids_of(stream, 4)[3] == late


def test_who_stays_is_told_once_however_many_transactions_are_open(preparing: tuple[Api, URL]) -> None:
    api, url = preparing
    with sql_client(url) as client:
        late = [prepare_entry(client, str(number)) for number in range(OPEN)]
    with watch(api) as stream:
        for _ in range(4):
            written = commit_entries(partial(execute, url), 100)
            assert ids_of(stream, 100) == written
        position = stream.last_id
        for number in range(OPEN):
            execute(url, f"COMMIT PREPARED '{number}'")
        assert sorted(ids_of(stream, OPEN)) == sorted(late)
    # A position names a hundred at most.
    with watch(api, position) as stream:
        assert stream.take()[0].type == "reset"


class Written(NamedTuple):
    """The ids of the entries that a writer has committed, and of those that it has rolled back."""

    committed: list[str]
    rolled_back: list[str]


def write_at_random(url: URL, seed: int) -> Written:
    """Run transactions of any length, with savepoints, and roll some back."""
    chance = random.Random(seed)  # noqa: S311  # No secret.
    written = Written([], [])
    with sql_client(url) as client, client.cursor() as cursor:
        for _ in range(TRANSACTIONS):
            kept = write_entries(client, chance.randrange(1, 4))
            cursor.execute("SAVEPOINT here")
            time.sleep(chance.random() ** 3)
            in_savepoint = write_entries(client)
            match chance.randrange(3):
                case 0:
                    cursor.execute("ROLLBACK TO here")
                    client.commit()
                    written.committed.extend(kept)
                    written.rolled_back.extend(in_savepoint)
                case 1:
                    client.rollback()
                    written.rolled_back.extend(kept + in_savepoint)
                case _:
                    client.commit()
                    written.committed.extend(kept + in_savepoint)
    return written


def test_listeners_who_change_between_processes_are_told_of_every_transaction(
    database_url: URL, pooler_url: URL
) -> None:
    pooled = pooler_url.set(database=database_url.database)
    with ExitStack() as stack:
        services = [
            stack.enter_context(running(MAIN, DATABASE_URL=environment_of(url)))[0] for url in (database_url, pooled)
        ]
        addresses = [f"http://127.0.0.1:{service.port}" for service in services]
        listeners = [stack.enter_context(Listener(addresses, seed, leaves=seed > 0)) for seed in range(4)]
        with ThreadPoolExecutor(WRITERS) as threads:
            writers = [threads.submit(write_at_random, database_url, seed) for seed in range(WRITERS)]
        written = [writer.result() for writer in writers]
        committed = {history_id for each in written for history_id in each.committed}
        for listener in listeners:
            listener.wait_for(committed)
            assert listener.told == committed
            assert (listener.resets, listener.errors) == (0, [])
        assert sum(listener.connections for listener in listeners[1:]) > len(listeners)
