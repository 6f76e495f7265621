"""A database that is away, silent or wrong: the sentence in the answer and in the log."""

import asyncio
import threading
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import URL, make_url, text

from src.database.database import Database
from src.database.statement import Statement
from src.embedded_postgres.server import EmbeddedPostgres
from src.exceptions.errors import DatabaseUnavailable
from src.services.task_service import TaskService
from tests.support.client import Api, data_of, error_of
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import Sql, environment_of, settings_for, transaction
from tests.support.proxy import Proxy
from tests.support.service import MAIN, Service, free_port
from tests.support.waiting import PATIENCE_S, wait_until


def test_the_start_waits_for_the_database_and_says_so() -> None:
    with cluster_dir() as data_dir:
        with EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
            url = environment_of(postgres.url)
        service = Service(MAIN, DATABASE_URL=url, START_TIMEOUT_S=str(PATIENCE_S))
        service.wait_for("Waiting for the database")
        with EmbeddedPostgres(data_dir, FSYNC_OFF):
            service.wait_until_up().close()
            assert service.stop() == 0


def test_the_start_gives_up_in_one_sentence() -> None:
    service = Service(MAIN, DATABASE_URL=f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x", START_TIMEOUT_S="1")
    assert service.wait() != 0
    last = service.output.strip().splitlines()[-1]
    assert last.startswith("The database cannot be used: connection to server at")
    assert "hunter2" not in service.output


def test_readiness_follows_the_database_and_liveness_does_not(
    api: Api, sql: Sql, live_app: tuple[FastAPI, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert data_of(api.get("/health/ready")) == {"status": "ready"}
    sql("UPDATE alembic_version SET version_num = '0000'")
    assert "schema" in error_of(api.get("/health/ready"), 503)
    sql("DROP TABLE alembic_version")
    assert "schema" in error_of(api.get("/health/ready"), 503)
    assert [message.partition(", not")[0] for message in caplog.messages] == [
        "The database has schema revision 0000",
        'The database does not have the schema of this code: relation "alembic_version" does not exist',
    ]
    live_app[0].state.database = Database(settings_for(make_url(f"postgresql://x@127.0.0.1:{free_port()}/x")))
    assert "database" in error_of(api.get("/health/ready"), 503)
    assert data_of(api.get("/health"))["status"] == "healthy"


async def test_the_service_gives_up_on_a_server_that_stays_silent(
    database_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """A stopped server, or a pooler that holds the statement back, keeps the connection alive and says nothing."""
    proxy = Proxy(database_url)
    given_up = threading.Event()
    with proxy.running() as url:
        database = Database(settings_for(url, database_pool_size=1, statement_timeout_s=0.5, network_timeout_s=2))
        tasks = TaskService(database)
        await tasks.create_task("x")
        proxy.lose_next_answer(lambda: given_up.wait(PATIENCE_S))
        with pytest.raises(DatabaseUnavailable):
            await tasks.create_task("x")
        assert caplog.messages == ["The database cannot answer: the server said nothing for 2.5 s"]
        given_up.set()
        await tasks.create_task("x")
        database.close()


async def test_the_log_says_why_a_statement_was_ended(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(settings_for(database_url, statement_timeout_s=0.2))
    with transaction(database_url, "LOCK TABLE tasks"), pytest.raises(DatabaseUnavailable):
        await TaskService(database).get_task(uuid4())
    assert caplog.messages == ["The database cannot answer: canceling statement due to statement timeout"]
    database.close()


async def test_the_log_says_what_the_server_lacks_without_the_data_of_the_caller(
    database: Database, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    """A trigger stands in for a full disk."""
    sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " 'could not extend file \"base/5/1\": No space left on device' USING ERRCODE = '53100', DETAIL = NEW.title;"
        " END $$; CREATE TRIGGER fail BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    with pytest.raises(DatabaseUnavailable):
        await TaskService(database).create_task("hunter2")
    assert caplog.messages == ['The database cannot answer: could not extend file "base/5/1": No space left on device']


async def test_the_log_says_that_the_database_is_missing(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    url = database_url.set(database="nowhere", password="hunter2")  # noqa: S106
    database = Database(settings_for(url, repeat_budget_s=0.1))
    with pytest.raises(DatabaseUnavailable):
        await TaskService(database).create_task("x")
    [warning, *_] = caplog.messages
    assert warning.startswith("The database cannot answer: ")
    assert warning.endswith('database "nowhere" does not exist')
    assert "hunter2" not in caplog.text


async def test_the_log_says_why_maintenance_failed(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    database.maintain(Statement("broken", "Divides by zero.", text("SELECT 1 / 0")))
    await asyncio.to_thread(wait_until, lambda: caplog.messages)
    assert caplog.messages == ["The database was not maintained: division by zero"]
