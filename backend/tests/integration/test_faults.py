"""The service while things fail around it: the short form of `make torture`."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from sqlalchemy import URL, make_url

from config import BACKEND
from src.database.database import Database
from src.embedded_postgres.server import EmbeddedPostgres
from src.exceptions.errors import DatabaseUnavailable
from src.services.task_service import TaskService
from tests.drills import faults
from tests.support.client import Api, data_of, error_of
from tests.support.clusters import cluster_dir
from tests.support.databases import Sql, environment_of, execute, settings_for, transaction
from tests.support.model import hold_to_model
from tests.support.pgbouncer import PROGRAM as PGBOUNCER
from tests.support.proxy import Proxy
from tests.support.service import MAIN, Service, free_port, running
from tests.support.waiting import PATIENCE_S, wait_until

needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed (apt-get install pgbouncer)")


def assert_flawless(outcome: faults.Outcome) -> None:
    assert outcome.changes > 0
    assert outcome == faults.Outcome(outcome.changes, errors=0, lost=0, illegal=0, orphans=0, miscounted=0)


def test_restarts_of_the_database_are_not_noticed() -> None:
    assert_flawless(faults.restart_database(3))


@needs_pgbouncer
def test_restarts_of_the_database_behind_pgbouncer_are_not_noticed() -> None:
    assert_flawless(faults.restart_database(3, through_pgbouncer=True))


def test_a_kill_of_the_service_loses_nothing_that_was_acknowledged() -> None:
    assert_flawless(faults.kill_service(2))


def test_requests_in_flight_outlive_sigterm() -> None:
    assert_flawless(faults.terminate_service(2))


def test_a_thousand_racing_callers_leave_a_legal_history() -> None:
    assert_flawless(faults.race_for_a_task(1))


def test_sixty_callers_who_outlast_a_restart_all_get_their_answer() -> None:
    """More callers than connections wait out a database that is away for a moment."""
    with (
        cluster_dir() as data_dir,
        EmbeddedPostgres(data_dir, faults.SETTINGS) as postgres,
        running(MAIN, BACKEND, DATABASE_URL=environment_of(postgres.url), **faults.PATIENT) as (service, api),
    ):
        api.create_task()
        os.kill(postgres.pid, signal.SIGQUIT)
        statuses = call_at_once(f"http://127.0.0.1:{service.port}/tasks", 60)
    assert statuses == [200] * 60


def call_at_once(url: str, count: int) -> list[int]:
    statuses: list[int] = []

    def call() -> None:
        statuses.append(httpx.get(url, timeout=PATIENCE_S).status_code)

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def repeats() -> float:
    """How many statements this process has repeated."""
    return REGISTRY.get_sample_value("task_backend_repeated_statements_total") or 0


def test_a_statement_is_repeated_until_its_budget_is_spent(
    api: Api, live_app: tuple[FastAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock on which a second passes between one look at it and the next.
    monkeypatch.setattr("src.database.database.time", SimpleNamespace(monotonic=count().__next__))
    url = make_url(f"postgresql://someone@127.0.0.1:{free_port()}/tasks")
    live_app[0].state.database = Database(settings_for(url, repeat_budget_s=3))
    before = repeats()

    response = api.get("/tasks")

    assert error_of(response, 503).startswith("The database is not available")
    assert repeats() == before + 3


async def test_idle_connections_that_the_server_closed_are_replaced_unnoticed(
    database: Database, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = TaskService(database)
    await asyncio.gather(*(tasks.create_task("x") for _ in range(10)))
    ended = sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert len(ended) > 1
    idle = database.pool._idle
    await asyncio.to_thread(wait_until, lambda: not any(connection.is_usable() for connection in idle))

    await asyncio.gather(*(tasks.create_task("x") for _ in range(10)))

    assert len(sql("SELECT FROM tasks")) == 20
    # Not one statement was sent on a closed connection, and so none was repeated.
    assert caplog.messages == []


@pytest.fixture
def proxy(database_url: URL) -> Proxy:
    return Proxy(database_url)


@pytest.fixture
def tasks_through_proxy(proxy: Proxy) -> Iterator[TaskService]:
    with proxy.running() as url:
        database = Database(settings_for(url, database_pool_size=1))
        yield TaskService(database)
        database.close()


async def test_a_write_whose_answer_was_lost_is_made_once(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql
) -> None:
    """The server commits, and the connection breaks before its answer arrives."""
    tasks = tasks_through_proxy
    await tasks.create_task("Buy")
    [(task_id,)] = sql("SELECT id FROM tasks")
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: tasks.create_task("Other"),
        lambda: tasks.update_task(task_id, "Sell"),
        lambda: tasks.mark_complete(task_id),
        lambda: tasks.mark_incomplete(task_id),
        lambda: tasks.delete_task(task_id),
    ]
    for entries, change in enumerate(changes, start=2):
        proxy.lose_next_answer()
        proxy.messages.clear()
        await change()
        assert len(sql("SELECT FROM task_history")) == entries
        assert proxy.messages.count("Q") >= 2
    assert [row.title for row in sql("SELECT title FROM tasks")] == ["Other"]


async def test_a_change_undone_by_another_before_its_repeat_is_not_made_twice(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql
) -> None:
    await tasks_through_proxy.create_task("Buy")
    [(task_id,)] = sql("SELECT id FROM tasks")

    proxy.lose_next_answer(lambda: sql("UPDATE tasks SET is_completed = false, completed_at = NULL"))
    await tasks_through_proxy.mark_complete(task_id)

    assert [row.action_type for row in sql("SELECT action_type FROM task_history ORDER BY timestamp")] == [
        "CREATED",
        "COMPLETED",
    ]
    assert sql("SELECT is_completed FROM tasks") == [(False,)]


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """As a stopped one does, or a pooler that holds the statement back: both keep the connection alive."""
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


async def test_a_long_list_whose_connection_breaks_is_read_again(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql
) -> None:
    sql("INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, false, now(), now() FROM generate_series(1, 2500)")
    asked = 0

    def break_later() -> None:
        nonlocal asked
        asked += 1

    listing = asyncio.create_task(tasks_through_proxy.get_all_tasks())
    while proxy.messages.count("Q") < 2:
        await asyncio.sleep(0)
    proxy.lose_next_answer(break_later)
    with closing(await listing) as file:
        assert len(json.loads(b"".join(file.chunks()))) == 2500
    assert asked == 1


async def test_a_deadlock_is_repeated(database: Database, sql: Sql) -> None:
    """A trigger plays PostgreSQL's deadlock detector, which takes seconds to find a victim."""
    await TaskService(database).create_task("x")
    sql(
        "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('failures') < 3 THEN RAISE EXCEPTION 'victim' USING ERRCODE = TG_ARGV[0]; END IF; RETURN NEW;"
        " END $$; CREATE SEQUENCE failures;"
        "CREATE TRIGGER fail_once BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION fail_once('40P01')"
    )
    [(task_id,)] = sql("SELECT id FROM tasks")

    await TaskService(database).mark_complete(task_id)

    assert sql("SELECT is_completed FROM tasks") == [(True,)]
    assert sql("SELECT last_value FROM failures") == [(3,)]


def test_what_the_replica_does_not_have_is_not_acknowledged_by_a_repeat_either() -> None:
    """A read does not wait for a synchronous replica, and would show what the primary alone has committed."""
    limits = {"STATEMENT_TIMEOUT_S": "1", "NETWORK_TIMEOUT_S": "2"}
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, faults.SETTINGS) as postgres:
        url = postgres.url
        with running(MAIN, BACKEND, DATABASE_URL=environment_of(url), **limits) as (_, api):
            execute(url, "ALTER SYSTEM SET synchronous_standby_names = '*'")
            execute(url, "SELECT pg_reload_conf()")
            answers: list[httpx.Response] = []
            waiting = threading.Thread(target=lambda: answers.append(api.post("/tasks", json={"title": "x"})))
            waiting.start()
            wait_until(lambda: execute(url, "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
            os.kill(postgres.pid, signal.SIGQUIT)
            waiting.join()
            [answer] = answers
            assert error_of(answer, 503)
            wait_until(lambda: api.get("/tasks").is_success)
            assert [task["title"] for task in api.list_tasks()] == ["x"]


async def test_a_write_that_reached_a_replica_is_repeated_on_another_connection(
    database: Database, database_url: URL, server_url: URL
) -> None:
    read_only = f"ALTER DATABASE {database_url.database} SET default_transaction_read_only"
    execute(server_url, f"{read_only} = on")

    async def promote_soon() -> None:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(execute, server_url, f"{read_only} = off")

    # What is set for a database is for its new connections.
    task, _ = await asyncio.gather(TaskService(database).create_task("x"), promote_soon())

    assert json.loads(task)["title"] == "x"


def test_more_callers_than_connections_all_get_an_answer(
    api: Api, live_app: tuple[FastAPI, str], database_url: URL
) -> None:
    app, address = live_app
    app.state.database = Database(settings_for(database_url, database_pool_size=5))
    api.create_task()
    statuses = call_at_once(f"{address}/tasks", 200)
    assert statuses == [200] * 200


def test_with_every_connection_taken_the_answer_is_503_and_health_answers(
    api: Api, live_app: tuple[FastAPI, str], database_url: URL, sql: Sql
) -> None:
    app, _ = live_app
    task = api.create_task()
    app.state.database = Database(settings_for(database_url, database_pool_size=5, queue_timeout_s=0.2))
    holders = [threading.Thread(target=api.list_tasks) for _ in range(5)]
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        " HAVING count(*) = 5"
    )
    with transaction(database_url, "LOCK TABLE tasks"):
        for holder in holders:
            holder.start()
        wait_until(lambda: sql(waiting))

        response = api.get("/tasks")
        assert error_of(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        data_of(api.get("/health"))
    for holder in holders:
        holder.join()
    assert api.list_tasks() == [task]


def test_the_start_waits_for_the_database_and_says_so() -> None:
    with cluster_dir() as data_dir:
        with EmbeddedPostgres(data_dir, faults.SETTINGS) as postgres:
            url = environment_of(postgres.url)
        service = Service(MAIN, DATABASE_URL=url, START_TIMEOUT_S=str(PATIENCE_S))
        service.wait_for("Waiting for the database")
        with EmbeddedPostgres(data_dir, faults.SETTINGS):
            service.wait_until_up().close()
            assert service.stop() == 0


def test_the_start_gives_up_in_one_sentence() -> None:
    service = Service(MAIN, DATABASE_URL=f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x", START_TIMEOUT_S="1")
    assert service.wait() != 0
    last = service.output.strip().splitlines()[-1]
    assert last.startswith("The database cannot be used: connection to server at")
    assert "hunter2" not in service.output


async def test_the_log_says_why_a_statement_was_ended(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(settings_for(database_url, statement_timeout_s=0.2))
    with transaction(database_url, "LOCK TABLE tasks"), pytest.raises(DatabaseUnavailable):
        await TaskService(database).get_task(uuid4())
    assert caplog.messages == ["The database cannot answer: canceling statement due to statement timeout"]
    database.close()


async def test_the_log_says_what_the_server_lacks_and_not_what_was_to_be_stored(
    database: Database, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    """A trigger plays the full disk."""
    sql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " 'could not extend file \"base/5/1\": No space left on device' USING ERRCODE = '53100', DETAIL = NEW.title;"
        " END $$; CREATE TRIGGER fail BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    with pytest.raises(DatabaseUnavailable):
        await TaskService(database).create_task("hunter2")
    assert caplog.messages == ['The database cannot answer: could not extend file "base/5/1": No space left on device']


async def test_the_log_says_that_the_database_is_another(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    url = database_url.set(database="nowhere", password="hunter2")  # noqa: S106
    database = Database(settings_for(url, repeat_budget_s=0.1))
    with pytest.raises(DatabaseUnavailable):
        await TaskService(database).create_task("x")
    [warning, *_] = caplog.messages
    assert warning.startswith("The database cannot answer: ")
    assert warning.endswith('database "nowhere" does not exist')
    assert "hunter2" not in caplog.text


async def test_the_log_says_that_no_connection_was_free(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(settings_for(database_url, database_pool_size=1, queue_timeout_s=0.1))
    connection = await database.pool.acquire()
    with pytest.raises(DatabaseUnavailable):
        await TaskService(database).create_task("x")
    assert caplog.messages == ["The database cannot answer: no connection was free within 0.1 s"]
    database.pool.release(connection)
    database.close()


async def test_the_log_says_what_kept_the_counts_from_being_folded(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.maintain("SELECT 1 / 0")
    await asyncio.to_thread(wait_until, lambda: caplog.messages)
    assert caplog.messages == ["The database was not maintained: division by zero"]


def test_readiness_follows_the_database_and_liveness_does_not(
    api: Api, sql: Sql, live_app: tuple[FastAPI, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert data_of(api.get("/health/ready")) == {"status": "ready"}
    sql("UPDATE alembic_version SET version_num = '0000'")
    assert "schema" in error_of(api.get("/health/ready"), 503)
    sql("DROP TABLE alembic_version")
    assert "schema" in error_of(api.get("/health/ready"), 503)
    assert [message.partition(", and")[0] for message in caplog.messages] == [
        "The database has schema revision 0000",
        'The database has not the schema of this code: relation "alembic_version" does not exist',
    ]
    live_app[0].state.database = Database(settings_for(make_url(f"postgresql://x@127.0.0.1:{free_port()}/x")))
    assert "database" in error_of(api.get("/health/ready"), 503)
    assert data_of(api.get("/health"))["status"] == "healthy"


def test_the_contract_holds_behind_pgbouncer(
    live_app: tuple[FastAPI, str], pooler_url: URL, clone: Callable[[], AbstractContextManager[URL]]
) -> None:
    """Every endpoint, beside its model, through two connections in transaction mode."""

    @contextmanager
    def pooled_clone() -> Iterator[URL]:
        with clone() as url:
            yield pooler_url.set(database=url.database)

    hold_to_model(*live_app, pooled_clone, runs=10, steps=30)
