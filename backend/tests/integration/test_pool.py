"""The connection pool: more callers than connections, and connections that the server closed."""

import asyncio
import os
import signal
import threading
from functools import partial

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from config import BACKEND
from src.database.database import Database
from src.embedded_postgres.server import EmbeddedPostgres
from src.exceptions.errors import DatabaseUnavailable
from src.services.task_service import TaskService
from tests.drills.faults import PATIENT
from tests.support.client import Api, data_of, error_of
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import WAITING_FOR_A_LOCK, Sql, environment_of, settings_for, transaction
from tests.support.service import MAIN, running
from tests.support.waiting import PATIENCE_S, wait_until


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


def test_more_callers_than_connections_all_get_an_answer(
    api: Api, live_app: tuple[FastAPI, str], database_url: URL
) -> None:
    app, address = live_app
    app.state.database = Database(settings_for(database_url, database_pool_size=5))
    api.create_task()
    statuses = call_at_once(f"{address}/tasks", 200)
    assert statuses == [200] * 200


def test_sixty_callers_wait_out_a_restart_and_all_get_an_answer() -> None:
    """The database is away for a moment, and has fewer connections than there are callers."""
    with (
        cluster_dir() as data_dir,
        EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres,
        running(MAIN, BACKEND, DATABASE_URL=environment_of(postgres.url), **PATIENT) as (service, api),
    ):
        api.create_task()
        os.kill(postgres.pid, signal.SIGQUIT)
        statuses = call_at_once(f"http://127.0.0.1:{service.port}/tasks", 60)
    assert statuses == [200] * 60


def test_if_every_connection_is_taken_tasks_answer_503_and_health_answers_200(
    api: Api, live_app: tuple[FastAPI, str], database_url: URL, sql: Sql
) -> None:
    app, _ = live_app
    task = api.create_task()
    app.state.database = Database(settings_for(database_url, database_pool_size=5, queue_timeout_s=0.2))
    holders = [threading.Thread(target=api.list_tasks) for _ in range(5)]
    with transaction(database_url, "LOCK TABLE tasks"):
        for holder in holders:
            holder.start()
        wait_until(lambda: len(sql(WAITING_FOR_A_LOCK)) == 5)

        response = api.get("/tasks")
        assert error_of(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        data_of(api.get("/health"))
    for holder in holders:
        holder.join()
    assert api.list_tasks() == [task]


def test_slow_searches_leave_connections_for_everything_else(
    api: Api, live_app: tuple[FastAPI, str], database_url: URL, sql: Sql
) -> None:
    app, _ = live_app
    app.state.database = Database(settings_for(database_url, database_pool_size=8, queue_timeout_s=0.2))
    search = partial(api.get, "/history", params={"q": "x"})
    searches = [threading.Thread(target=search) for _ in range(2)]
    with transaction(database_url, "LOCK TABLE task_history IN ACCESS EXCLUSIVE MODE"):
        for it in searches:
            it.start()
        wait_until(lambda: len(sql(WAITING_FOR_A_LOCK)) == 2)

        error_of(search(), 503)
        assert api.list_tasks() == []
    for it in searches:
        it.join()
    data_of(search())


async def test_the_log_says_that_no_connection_was_free(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(settings_for(database_url, database_pool_size=1, queue_timeout_s=0.1))
    connection = await database.pool.acquire()
    with pytest.raises(DatabaseUnavailable):
        await TaskService(database).create_task("x")
    assert caplog.messages == ["The database cannot answer: no connection was free within 0.1 s"]
    database.pool.release(connection)
    database.close()


async def test_callers_do_not_notice_that_the_server_closed_idle_connections(
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
    # No statement was sent on a closed connection, so none was retried.
    assert caplog.messages == []
