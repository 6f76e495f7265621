"""A change and its history entry: both or neither. And the rules that the database itself enforces."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from src.database.database import Database
from src.database.statement import Statement
from src.exceptions.errors import DatabaseUnavailable
from src.services.task_service import TaskService
from tests.support.client import Api, error_of
from tests.support.databases import Sql, settings_for, transaction
from tests.support.waiting import PATIENCE_S

CHANGES: dict[str, Callable[[Api, str], Any]] = {
    "undo": lambda api, _: api.post(f"/history/{api.history()['items'][0]['history_id']}/undo"),
    "create with a key": lambda api, _: api.post("/tasks", json={"title": "x"}, headers={"Idempotency-Key": "a"}),
    "delete with a key": lambda api, path: api.delete(path, headers={"Idempotency-Key": "a"}),
    "create": lambda api, _: api.post("/tasks", json={"title": "Other"}),
    "update": lambda api, path: api.put(path, json={"title": "Other"}),
    "complete": lambda api, path: api.patch(f"{path}/complete"),
    "incomplete": lambda api, path: api.patch(f"{path}/incomplete"),
    "delete": lambda api, path: api.delete(path),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_cannot_be_recorded_is_not_made(api: Api, sql: Sql, change: str) -> None:
    task = api.create_task()
    if change == "incomplete":
        task = api.complete_task(task["id"])
    history = api.history()
    sql("ALTER TABLE task_history ADD CONSTRAINT refuse_all CHECK (false) NOT VALID")

    error_of(CHANGES[change](api, f"/tasks/{task['id']}"), 500)

    assert api.list_tasks() == [task]
    assert api.history() == history


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_cannot_be_made_is_not_recorded(api: Api, sql: Sql, change: str) -> None:
    task = api.create_task()
    if change == "incomplete":
        task = api.complete_task(task["id"])
    history = api.history()
    sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON tasks EXECUTE FUNCTION refuse()"
    )

    error_of(CHANGES[change](api, f"/tasks/{task['id']}"), 500)

    assert api.list_tasks() == [task]
    assert api.history() == history


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE task_history SET description = 'Nothing happened'",
        "DELETE FROM task_history",
        "UPDATE task_history SET task_title = NULL",
        "UPDATE task_history SET changes = '{}'",
        "UPDATE task_history SET undoes = history_id",
        "TRUNCATE task_history",
        "TRUNCATE tasks, task_history",
        "SET session_replication_role = replica; DELETE FROM task_history",
        "INSERT INTO task_history TABLE task_history ON CONFLICT (history_id) DO UPDATE SET description = 'Nothing'",
    ],
)
def test_the_database_refuses_to_change_the_history(api: Api, sql: Sql, statement: str) -> None:
    task = api.create_task()
    before, entry = api.history(), api.last_entry_of(task["id"])

    with pytest.raises(DBAPIError, match="task_history is append-only"):
        sql(statement)

    assert (api.history(), api.last_entry_of(task["id"])) == (before, entry)


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("ck_tasks_title_length", {"title": "x" * 256}),
        ("ck_tasks_title_visible", {"title": ""}),
        ("ck_tasks_title_visible", {"title": " \t\n"}),
        ("ck_tasks_title_visible", {"title": "\u00a0\u2003\u200b\ufeff\u3164\U000e0020"}),
        ("ck_tasks_description_length", {"description": "x" * 5001}),
        ("ck_tasks_completed_at_consistent", {"is_completed": True}),
        ("ck_tasks_completed_at_consistent", {"completed_at": NOW}),
    ],
)
def test_the_database_refuses_a_task_that_breaks_a_rule(sql: Sql, constraint: str, values: dict[str, Any]) -> None:
    row = {"title": "x", "description": None, "is_completed": False, "completed_at": None} | values
    with pytest.raises(DBAPIError, match=constraint):
        sql(
            "INSERT INTO tasks"
            " VALUES (gen_random_uuid(), :title, :description, :is_completed, now(), now(), :completed_at)",
            **row,
        )
    assert sql("SELECT FROM tasks") == []


def test_the_database_accepts_every_valid_title(sql: Sql) -> None:
    for title in ("x", "x" * 255, "\U0001f6d2" * 255, " . ", "\U0001fae8"):
        sql("INSERT INTO tasks VALUES (gen_random_uuid(), :title, :title, false, now(), now(), NULL)", title=title)
    assert len(sql("SELECT FROM tasks")) == 5


def test_the_database_knows_five_actions(sql: Sql) -> None:
    with pytest.raises(DBAPIError, match="ck_task_history_action_type"):
        sql("INSERT INTO task_history VALUES (gen_random_uuid(), gen_random_uuid(), 'ARCHIVED', 'x', now())")


async def test_a_statement_that_exceeds_the_timeout_is_cancelled_and_rolled_back(
    database: Database, direct_or_pooled_url: URL, database_url: URL, sql: Sql
) -> None:
    await TaskService(database).create_task("x")
    [task] = sql("SELECT * FROM tasks")
    impatient = Database(settings_for(direct_or_pooled_url, statement_timeout_s=0.2))
    with transaction(database_url, "LOCK TABLE tasks"):
        for call in (TaskService(impatient).mark_complete(task.id), TaskService(impatient).get_all_tasks()):
            with pytest.raises(DatabaseUnavailable):
                async with asyncio.timeout(PATIENCE_S):
                    await call
    assert sql("SELECT * FROM tasks") == [task]
    await TaskService(impatient).mark_complete(task.id)
    impatient.close()


async def test_a_statement_leaves_no_limit_and_no_transaction_on_its_connection(
    direct_or_pooled_url: URL, sql: Sql
) -> None:
    database = Database(settings_for(direct_or_pooled_url))
    await TaskService(database).create_task("x")
    sql("INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, false, now(), now() FROM generate_series(1, 2500)")
    (await TaskService(database).get_all_tasks()).close()

    connection = await database.pool.acquire()
    assert await connection.run("SHOW statement_timeout") == [("0",)]
    assert await connection.run("SELECT pg_current_xact_id_if_assigned(), count(*) FROM pg_cursors") == [(None, 0)]
    database.pool.release(connection)
    database.close()


async def test_a_cancelled_caller_leaves_a_usable_connection(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await database.run(Statement("sleep", "Takes a second.", text("SELECT pg_sleep(1)")))
    assert await database.run(Statement("one", "Returns one.", text("SELECT 1"))) == [(1,)]
