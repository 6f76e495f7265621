"""Statements that are retried: made once, whatever became of the first attempt."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
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
from src.services.task_service import TaskService
from tests.support.client import Api, error_of
from tests.support.clusters import FSYNC_OFF, cluster_dir
from tests.support.databases import Sql, environment_of, execute, settings_for
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

    assert json.loads(task.json)["title"] == "x"


def test_no_change_is_acknowledged_that_the_synchronous_replica_lacks() -> None:
    """A plain read does not wait for a synchronous replica: it would see what only the primary has committed."""
    limits = {"STATEMENT_TIMEOUT_S": "1", "NETWORK_TIMEOUT_S": "2"}
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, FSYNC_OFF) as postgres, ExitStack() as stack:
        url = postgres.url
        environment = {"DATABASE_URL": environment_of(url), **limits}
        api, other = (stack.enter_context(running(MAIN, BACKEND, **environment))[1] for _ in range(2))
        calls = repeatable_changes(api)
        wait_for_a_replica(url, "*")
        with ThreadPoolExecutor(len(calls)) as threads:
            waiting = [threads.submit(call, api) for call in calls]
            in_wait = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            wait_until(lambda: len(execute(url, in_wait)) >= len(calls))
            os.kill(postgres.pid, signal.SIGQUIT)
        for answer in waiting:
            assert error_of(answer.result(), 503)
        wait_until(lambda: api.get("/tasks").is_success)
        # The changes are there, and nothing but the replica is missing.
        assert sorted(task["title"] for task in api.list_tasks()) == ["Completed", "New", "Sold"]
        for call in calls:
            assert error_of(call(other), 503)
        # Whoever finds nothing to repeat need not wait for the replica.
        assert error_of(other.post(f"/history/{uuid4()}/undo"), 404)
        assert error_of(other.delete(f"/tasks/{uuid4()}", headers={"Idempotency-Key": "key"}), 404)
        wait_for_a_replica(url, "")
        assert [call(other).status_code for call in calls] == [201, 200, 200, 200, 200]
        assert len(api.list_tasks()) == 3


def repeatable_changes(api: Api) -> list[Callable[[Api], httpx.Response]]:
    """Make tasks, and return a change of each kind that another process can repeat."""
    edited, completed, deleted, _ = (api.create_task(title) for title in ("Edited", "Completed", "Deleted", "Undone"))
    entry = api.history(limit=1)["items"][0]["history_id"]
    headers = {"Idempotency-Key": "key"}
    guarded = {**headers, "If-Match": f'"{edited["updated_at"]}"'}
    return [
        lambda api: api.post("/tasks", json={"title": "New"}, headers=headers),
        lambda api: api.put(f"/tasks/{edited['id']}", json={"title": "Sold"}, headers=guarded),
        lambda api: api.patch(f"/tasks/{completed['id']}/complete", headers=headers),
        lambda api: api.delete(f"/tasks/{deleted['id']}", headers=headers),
        lambda api: api.post(f"/history/{entry}/undo"),
    ]


def wait_for_a_replica(url: URL, names: str) -> None:
    """From now on, let each COMMIT wait for one of the replicas `names`, none of which is there."""
    execute(url, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    execute(url, "SELECT pg_reload_conf()")
    wait_until(lambda: execute(url, "SHOW synchronous_standby_names") == [(names,)])
    # A new session knows it before the checkpointer has told those that exist.
    wait_until(lambda: a_commit_waits(url) == bool(names))


def a_commit_waits(url: URL) -> bool:
    """Tell whether a COMMIT waits for a replica, and end its wait."""
    with ThreadPoolExecutor(1) as thread:
        probe = thread.submit(execute, url, "SELECT pg_logical_emit_message(true, '', '')")
        in_wait = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%emit_message%'"
        wait_until(lambda: probe.done() or execute(url, in_wait))
        return bool(execute(url, f"SELECT pg_cancel_backend(pid) FROM ({in_wait}) AS waiting"))
