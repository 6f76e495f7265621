"""Statements that are retried: made once, whatever became of the first attempt."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import count
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from sqlalchemy import URL, make_url

from config import BACKEND
from src.database.database import Database
from src.embedded_postgres.server import EmbeddedPostgres
from src.services.task_service import TaskService
from tests.support.client import Api, error_of
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import Sql, environment_of, execute, settings_for
from tests.support.proxy import Proxy
from tests.support.service import MAIN, free_port, running
from tests.support.waiting import wait_until


def retries() -> float:
    """How often this process has retried a statement."""
    return REGISTRY.get_sample_value("task_backend_repeated_statements_total") or 0


def test_a_statement_is_retried_until_its_budget_is_spent(
    api: Api, live_app: tuple[FastAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that advances by a second each time it is read.
    monkeypatch.setattr("src.database.retry.time", SimpleNamespace(monotonic=count().__next__))
    url = make_url(f"postgresql://someone@127.0.0.1:{free_port()}/tasks")
    live_app[0].state.database = Database(settings_for(url, repeat_budget_s=3))
    before = retries()

    response = api.get("/tasks")

    assert error_of(response, 503).startswith("The database is not available")
    assert retries() == before + 3


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


async def test_a_change_that_somebody_undid_before_its_retry_is_not_made_twice(
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


async def test_a_statement_that_lost_a_deadlock_is_retried(database: Database, sql: Sql) -> None:
    """A trigger stands in for PostgreSQL's deadlock detector, which takes a second to choose a victim."""
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


async def test_a_write_that_reached_a_read_only_server_is_retried_on_a_new_connection(
    database: Database, database_url: URL, server_url: URL
) -> None:
    read_only = f"ALTER DATABASE {database_url.database} SET default_transaction_read_only"
    execute(server_url, f"{read_only} = on")

    async def promote_soon() -> None:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(execute, server_url, f"{read_only} = off")

    # ALTER DATABASE … SET applies to new connections only.
    task, _ = await asyncio.gather(TaskService(database).create_task("x"), promote_soon())

    assert json.loads(task)["title"] == "x"


def test_a_retry_acknowledges_no_change_that_the_synchronous_replica_lacks() -> None:
    """A plain read does not wait for a synchronous replica: it would see what only the primary has committed."""
    limits = {"STATEMENT_TIMEOUT_S": "1", "NETWORK_TIMEOUT_S": "2"}
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres:
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
