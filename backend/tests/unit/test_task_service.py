"""TaskService, without HTTP but on a real PostgreSQL: most of its rules are SQL."""

import asyncio
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import TypeAdapter
from sqlalchemy import URL

from src.database.database import Database
from src.exceptions.errors import TaskNotFound
from src.schemas.task import TaskResponse
from src.services.task_service import ChangedTask, FetchedTask, TaskService
from src.utils.json_text import JsonFile
from tests.support.databases import Sql, transaction

NASTY = (
    "".join(map(chr, range(1, 0x180))) + "\u2028\u2029\ufeff\ufffe\uffff</script>\U0001f468\u200d\U0001f469\U0010ffff"
)


@pytest.fixture
def tasks(database: Database) -> TaskService:
    return TaskService(database)


def read(task: FetchedTask | ChangedTask) -> TaskResponse:
    return TaskResponse.model_validate_json(task.json)


def content(file: JsonFile) -> str:
    with closing(file):
        text = b"".join(file.chunks())
        assert len(text) == file.size()
        return text.decode()


def actions(sql: Sql, task_id: UUID) -> list[str]:
    query = "SELECT action_type FROM task_history WHERE task_id = :task_id ORDER BY timestamp"
    return [row.action_type for row in sql(query, task_id=task_id)]


async def test_a_created_task_is_incomplete(tasks: TaskService, sql: Sql) -> None:
    task = read(await tasks.create_task("Buy groceries", "Milk"))
    assert (task.title, task.description, task.is_completed, task.completed_at) == (
        "Buy groceries",
        "Milk",
        False,
        None,
    )
    assert task.created_at == task.updated_at
    assert actions(sql, task.id) == ["CREATED"]


@pytest.mark.parametrize("title", ["plain", NASTY[:255], NASTY[-255:]])
@pytest.mark.parametrize("description", [None, "", NASTY])
async def test_the_json_of_a_task_is_that_of_its_schema(
    tasks: TaskService, title: str, description: str | None
) -> None:
    task = await tasks.create_task(title, description)
    assert task.json == read(task).model_dump_json()
    assert (read(task).title, read(task).description) == (title, description)


@pytest.mark.parametrize("microseconds", ["000000", "000001", "100000", "999999"])
async def test_the_json_of_a_time_is_that_of_its_schema(tasks: TaskService, sql: Sql, microseconds: str) -> None:
    moment = f"0987-06-05T04:03:02.{microseconds}Z"
    task_id = uuid4()
    sql("INSERT INTO tasks VALUES (:id, 'x', NULL, true, :at, :at, :at)", id=task_id, at=moment)
    task = await tasks.get_task(task_id)
    assert task.json == read(task).model_dump_json()
    assert json.loads(task.json)["created_at"] == task.updated_at == moment


async def test_times_are_utc_whatever_the_time_zone_of_the_server(
    tasks: TaskService, sql: Sql, database: Database
) -> None:
    task = await tasks.create_task("x")
    [(name,)] = sql("SELECT current_database()")
    sql(f"ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'")
    database.close()
    assert (await tasks.get_task(read(task).id)).json == task.json


async def test_all_tasks_are_an_array_of_their_json(tasks: TaskService) -> None:
    assert content(await tasks.get_all_tasks()) == "[]"
    first, second = await tasks.create_task("a"), await tasks.create_task(NASTY[:255], NASTY)
    assert content(await tasks.get_all_tasks()) == f"[{second.json},{first.json}]"


@pytest.mark.parametrize("number", [999, 1000, 1001, 2000, 5003])
async def test_a_long_list_is_complete_and_in_order(tasks: TaskService, sql: Sql, number: int) -> None:
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), repeat('x', 200), NULL, false, at, at, NULL FROM (SELECT now() -"
        " number * interval '1 second' AS at FROM generate_series(1, :number) AS number) AS moment",
        number=number,
    )
    text = content(await tasks.get_all_tasks())
    listed = TypeAdapter(list[TaskResponse]).validate_json(text)
    assert text == TypeAdapter(list[TaskResponse]).dump_json(listed).decode()
    created = [task.created_at for task in listed]
    assert created == sorted(set(created), reverse=True)
    assert len(created) == number


async def test_completion_sets_one_moment_and_is_done_once(tasks: TaskService, sql: Sql) -> None:
    task = read(await tasks.create_task("x"))
    change = await tasks.mark_complete(task.id)
    completed = read(change)
    assert completed.is_completed
    assert completed.completed_at == completed.updated_at > task.updated_at
    assert await tasks.mark_complete(task.id) == ChangedTask(change.json, None, is_replay=False)
    assert actions(sql, task.id) == ["CREATED", "COMPLETED"]


async def test_reopening_clears_the_moment_and_is_done_once(tasks: TaskService, sql: Sql) -> None:
    task_id = read(await tasks.create_task("x")).id
    await tasks.mark_complete(task_id)
    change = await tasks.mark_incomplete(task_id)
    assert (read(change).is_completed, read(change).completed_at) == (False, None)
    assert await tasks.mark_incomplete(task_id) == ChangedTask(change.json, None, is_replay=False)
    assert actions(sql, task_id) == ["CREATED", "COMPLETED", "INCOMPLETED"]


@pytest.mark.parametrize(
    ("before", "change", "after", "description"),
    [
        # (title, description) before, what is set, (title, description) after, the history entry
        (("a", None), {"title": "b"}, ("b", None), "Title changed from 'a' to 'b'"),
        (("a", "x"), {"title": "b"}, ("b", "x"), "Title changed from 'a' to 'b'"),
        (("a", "x"), {"description": "y"}, ("a", "y"), "Description changed"),
        (("a", None), {"description": "y"}, ("a", "y"), "Description changed"),
        (("a", "x"), {"description": ""}, ("a", ""), "Description changed"),
        (
            ("a", "x"),
            {"title": "b", "description": "y"},
            ("b", "y"),
            "Title changed from 'a' to 'b'; description changed",
        ),
        (("a", "x"), {"title": "a", "description": "y"}, ("a", "y"), "Description changed"),
        (("a", "x"), {"title": "b", "description": "x"}, ("b", "x"), "Title changed from 'a' to 'b'"),
        (("a", "x"), {"title": "A"}, ("A", "x"), "Title changed from 'a' to 'A'"),
        (("a", "x"), {"title": "a "}, ("a ", "x"), "Title changed from 'a' to 'a '"),
        (("a%s", "x"), {"title": "'{}'"}, ("'{}'", "x"), "Title changed from 'a%s' to ''{}''"),
        # Nothing to change: no entry.
        (("a", "x"), {"title": "a"}, ("a", "x"), None),
        (("a", "x"), {"title": "a", "description": "x"}, ("a", "x"), None),
        (("a", ""), {"description": ""}, ("a", ""), None),
        (("a", None), {}, ("a", None), None),
    ],
)
async def test_an_update_sets_what_is_given_and_says_what_changed(
    tasks: TaskService, sql: Sql, before: Any, change: dict[str, Any], after: Any, description: str | None
) -> None:
    task = read(await tasks.create_task(*before))

    updated = read(await tasks.update_task(task.id, **change))

    assert (updated.title, updated.description) == after
    assert (updated.updated_at > task.updated_at) == (description is not None)
    entries = sql("SELECT description FROM task_history WHERE action_type = 'UPDATED'")
    assert [entry.description for entry in entries] == ([] if description is None else [description])


async def test_a_deleted_task_is_gone_and_recorded(tasks: TaskService, sql: Sql) -> None:
    task = read(await tasks.create_task("x"))
    assert (await tasks.delete_task(task.id)).json == "null"
    assert sql("SELECT FROM tasks") == []
    assert actions(sql, task.id) == ["CREATED", "DELETED"]


async def test_an_unknown_task_is_not_found_and_nothing_is_recorded(tasks: TaskService, sql: Sql) -> None:
    task_id = uuid4()
    for call in (tasks.get_task, tasks.mark_complete, tasks.mark_incomplete, tasks.delete_task):
        with pytest.raises(TaskNotFound):
            await call(task_id)
    with pytest.raises(TaskNotFound):
        await tasks.update_task(task_id, title="x")
    assert sql("SELECT FROM task_history") == []


async def test_time_moves_on_although_the_clock_was_set_back(tasks: TaskService, sql: Sql) -> None:
    task = read(await tasks.create_task("x"))
    sql("UPDATE tasks SET updated_at = updated_at + interval '1 hour'")

    completed = read(await tasks.mark_complete(task.id))
    reopened = read(await tasks.mark_incomplete(task.id))
    await tasks.delete_task(task.id)

    tick = timedelta(microseconds=1)
    assert completed.updated_at == task.updated_at + timedelta(hours=1) + tick
    assert reopened.updated_at == completed.updated_at + tick
    times = [row.timestamp for row in sql("SELECT timestamp FROM task_history ORDER BY timestamp")]
    assert times == [task.created_at, completed.updated_at, reopened.updated_at, reopened.updated_at + tick]


async def test_a_change_that_waits_for_a_lock_is_dated_after_the_wait(tasks: TaskService, database_url: URL) -> None:
    task = read(await tasks.create_task("x"))
    with transaction(database_url, f"SELECT FROM tasks WHERE id = '{task.id}' FOR UPDATE"):
        completing = asyncio.create_task(tasks.mark_complete(task.id))
        await asyncio.sleep(0.3)
        released = datetime.now(UTC)
    completed = read(await completing)
    assert completed.updated_at > released
