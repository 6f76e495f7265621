"""Prepared statements: their answers, whatever happens to them and to their connections."""

import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import psycopg2
import pytest
from sqlalchemy import URL, Integer, String, Text, bindparam, func, literal, select, text

from config import BACKEND
from src.database.connection import Connection
from src.database.statement import STATEMENTS, Statement
from tests.drills.faults import PATIENT
from tests.support.audit import audit
from tests.support.background import in_background
from tests.support.databases import Sql, environment_of, settings_for
from tests.support.load import Readers, Writers
from tests.support.pgbouncer import PROGRAM, pgbouncer
from tests.support.service import MAIN, free_port, running

LIMIT = "SET LOCAL statement_timeout = 15000; "
NUMBER = Statement("number", "Adds one.", select(bindparam("number", type_=Integer()) + literal(1)))
PERCENT = Statement(
    "percent", "Has percent signs.", select(func.concat(literal("100%s %(x)s "), bindparam("name", type_=String())))
)


@contextmanager
def somebody_elses_commands(url: URL) -> Iterator[None]:
    """Have a client of the same pooler forget what is prepared, on one of its connections after the other."""

    def forget(stop: threading.Event) -> None:
        chance = random.Random(1)  # noqa: S311  # No secret.
        while not stop.is_set():
            try:
                connection = psycopg2.connect(host=url.host, port=url.port, user=url.username, dbname=url.database)
                connection.autocommit = True
                while not stop.wait(0.005):
                    connection.cursor().execute(chance.choice(["DEALLOCATE ALL", "DISCARD ALL"]))
            except psycopg2.OperationalError:
                stop.wait(0.1)

    with in_background(forget):
        yield


@pytest.mark.skipif(PROGRAM is None, reason="needs pgbouncer (apt-get install pgbouncer)")
@pytest.mark.parametrize("connections", [2, 50])
def test_no_request_fails_behind_a_pooler_that_shares_and_drops_its_connections(
    server_url: URL, database_url: URL, sql: Sql, connections: int
) -> None:
    listen_port = free_port()
    with ExitStack() as pooler:
        url = pooler.enter_context(pgbouncer(server_url, connections, 1, listen_port)).set(
            database=database_url.database
        )
        with running(MAIN, BACKEND, DATABASE_URL=environment_of(url), **PATIENT) as (_, api):
            address = str(api.base_url)
            with somebody_elses_commands(url), Writers(address) as writers, Readers(address, 4) as readers:
                writers.wait_for_changes(200)
                sql("ALTER TABLE tasks ADD COLUMN added text; CREATE INDEX ON tasks (added); ANALYZE tasks")
                writers.wait_for_changes(200)
                pooler.close()
                pooler.enter_context(pgbouncer(server_url, connections, 1, listen_port))
                writers.wait_for_changes(200)
                sql("ALTER TABLE tasks DROP COLUMN added")
                writers.wait_for_changes(200)
    assert (writers.errors, writers.broken, readers.errors) == ([], [], [])
    assert not any(audit(database_url, writers.acknowledged))


@pytest.fixture
async def connection(database_url: URL) -> AsyncIterator[Connection]:
    connection = await Connection.open(settings_for(database_url))
    yield connection
    connection.close()


@pytest.mark.parametrize("meanwhile", ["DEALLOCATE ALL", NUMBER.prepare_sql, NUMBER.deallocate_sql, "SELECT 1"])
async def test_a_statement_answers_whether_it_is_still_prepared_or_already(
    connection: Connection, meanwhile: str
) -> None:
    assert await connection.execute(NUMBER, {"number": 1}, LIMIT) == [(2,)]
    if meanwhile is NUMBER.prepare_sql:
        await connection.run("DEALLOCATE ALL")
    await connection.run(meanwhile)
    assert await connection.execute(NUMBER, {"number": 2}, LIMIT) == [(3,)]


async def test_a_statement_that_somebody_else_prepared_is_used(connection: Connection) -> None:
    await connection.run(NUMBER.prepare_sql)
    assert await connection.execute(NUMBER, {"number": 1}, LIMIT) == [(2,)]


async def test_a_statement_answers_with_the_columns_that_there_are_after_a_migration(connection: Connection) -> None:
    await connection.run("CREATE TEMPORARY TABLE changing AS SELECT 1 AS one")
    everything = Statement("everything", "Reads a table.", text("SELECT * FROM changing"))
    assert await connection.execute(everything, {}, LIMIT) == [(1,)]
    await connection.run("ALTER TABLE changing ADD COLUMN two text DEFAULT 'two'")
    assert await connection.execute(everything, {}, LIMIT) == [(1, "two")]


async def test_percent_signs_and_quotes_are_what_they_are(connection: Connection) -> None:
    for _ in range(2):
        assert await connection.execute(PERCENT, {"name": "50% 'x' \\"}, LIMIT) == [("100%s %(x)s 50% 'x' \\",)]
    assert await connection.run(PERCENT.sql, {"name": "%"}) == [("100%s %(x)s %",)]
    constant = Statement("constant", "Has a percent sign.", select(literal("100%")))
    assert await connection.execute(constant, {}, LIMIT) == [("100%",)]


async def test_a_statement_that_takes_long_to_send_is_sent_whole(connection: Connection) -> None:
    length = Statement("length", "Measures a text.", select(func.char_length(bindparam("long", type_=Text()))))
    assert await connection.execute(length, {"long": "x" * 10_000_000}, LIMIT) == [(10_000_000,)]


def test_a_prepared_name_stands_for_one_statement() -> None:
    number = bindparam("number", type_=Integer())
    same = Statement("number", "Adds one, too.", select(number + literal(1)))
    others = [
        Statement("number", "Adds two.", select(number + literal(2))),
        Statement("number", "Takes another type.", select(bindparam("number", type_=Text()) + literal("1"))),
    ]
    assert same.prepared_name == NUMBER.prepared_name
    assert len({statement.prepared_name for statement in (same, *others)}) == 3


def test_every_prepared_name_fits_an_identifier_of_postgresql() -> None:
    assert all(len(statement.prepared_name) < 64 for statement in STATEMENTS)
