"""Statements whose answer is lost: the server commits, and the connection breaks before its answer arrives."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from uuid import UUID, uuid4

import pytest
from sqlalchemy import URL

from src.database.database import Database
from src.exceptions.errors import KeyReused, PreconditionFailed
from src.services.task_service import ChangedTask, Safeguards, TaskService
from tests.support.client import Json
from tests.support.databases import Sql, settings_for
from tests.support.proxy import Proxy

Change = Callable[[TaskService, UUID, Safeguards], Awaitable[ChangedTask]]


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


def entries_of(sql: Sql, task_id: UUID) -> list[tuple[UUID, str]]:
    """Return the id and the kind of each entry of a task, oldest first."""
    query = "SELECT history_id, action_type FROM task_history WHERE task_id = :task_id ORDER BY timestamp"
    return [(row.history_id, row.action_type) for row in sql(query, task_id=task_id)]


def task_in(task: ChangedTask) -> Json:
    return json.loads(task.json)


CHANGES: dict[str, Change] = {
    "UPDATED": lambda tasks, task_id, safeguards: tasks.update_task(task_id, "Sell", None, safeguards),
    "COMPLETED": lambda tasks, task_id, safeguards: tasks.mark_complete(task_id, safeguards),
    "INCOMPLETED": lambda tasks, task_id, safeguards: tasks.mark_incomplete(task_id, safeguards),
    "DELETED": lambda tasks, task_id, safeguards: tasks.delete_task(task_id, safeguards),
}


async def task_to_change(tasks: TaskService, action: str) -> UUID:
    """Create a task that a change of that kind changes."""
    task_id = UUID(task_in(await tasks.create_task("Buy"))["id"])
    if action == "INCOMPLETED":
        await tasks.mark_complete(task_id)
    return task_id


@pytest.mark.parametrize("key", [None, "key"])
@pytest.mark.parametrize("action", CHANGES)
async def test_a_change_with_if_match_is_not_refused_because_it_was_made(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql, action: str, key: str | None
) -> None:
    tasks = tasks_through_proxy
    task_id = await task_to_change(tasks, action)
    before = entries_of(sql, task_id)
    tag = (await tasks.get_task(task_id)).updated_at

    proxy.lose_next_answer()
    task = await CHANGES[action](tasks, task_id, Safeguards([tag], key))

    assert entries_of(sql, task_id) == [*before, (task.history_id, action)]
    # The service repeated it, not the caller.
    assert not task.is_replay
    if action != "DELETED":
        assert task.json == (await tasks.get_task(task_id)).json


@pytest.mark.parametrize("action", ["UPDATED", "COMPLETED", "INCOMPLETED"])
async def test_a_change_with_if_match_succeeds_although_another_one_followed(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql, action: str
) -> None:
    tasks = tasks_through_proxy
    task_id = await task_to_change(tasks, action)
    tag = (await tasks.get_task(task_id)).updated_at

    proxy.lose_next_answer(lambda: sql("UPDATE tasks SET title = 'Theirs', updated_at = now()"))
    task = await CHANGES[action](tasks, task_id, Safeguards([tag]))

    assert entries_of(sql, task_id)[-1] == (task.history_id, action)
    assert task_in(task)["title"] == "Theirs"


async def test_a_change_with_if_match_that_was_not_made_is_refused_after_a_lost_answer(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql
) -> None:
    tasks = tasks_through_proxy
    task_id = await task_to_change(tasks, "UPDATED")
    before = entries_of(sql, task_id)

    proxy.lose_next_answer()
    with pytest.raises(PreconditionFailed):
        await tasks.update_task(task_id, "Sell", None, Safeguards(["2000-01-01T00:00:00.000000Z"], "key"))

    assert entries_of(sql, task_id) == before


UNDONE_BY = {"CREATED": "DELETED", "UPDATED": "UPDATED", "COMPLETED": "INCOMPLETED"} | {
    "INCOMPLETED": "COMPLETED",
    "DELETED": "CREATED",
}


@pytest.mark.parametrize("action", UNDONE_BY)
async def test_an_undo_is_not_refused_because_it_was_made(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql, action: str
) -> None:
    tasks = tasks_through_proxy
    task_id = await task_to_change(tasks, action)
    if action != "CREATED":
        await CHANGES[action](tasks, task_id, Safeguards())
    before = entries_of(sql, task_id)

    proxy.lose_next_answer()
    undo = await tasks.undo(before[-1][0])

    assert undo.action == UNDONE_BY[action]
    assert entries_of(sql, task_id) == [*before, (undo.task.history_id, UNDONE_BY[action])]
    left = [row.title for row in sql("SELECT title FROM tasks")]
    assert left == ([] if action == "CREATED" else ["Buy"])
    assert task_in(undo.task) is None or task_in(undo.task)["title"] == "Buy"


@pytest.mark.parametrize("key", [None, "key"])
@pytest.mark.parametrize(
    "meanwhile", ["UPDATE tasks SET title = 'Theirs', updated_at = now()", "DELETE FROM tasks", "SELECT"]
)
async def test_a_creation_is_answered_with_the_task_as_it_was_created(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql, key: str | None, meanwhile: str
) -> None:
    proxy.lose_next_answer(lambda: sql(meanwhile))
    created = await tasks_through_proxy.create_task("Buy", "Milk", key)

    task = task_in(created)
    assert (task["title"], task["description"], task["is_completed"]) == ("Buy", "Milk", False)
    assert task["created_at"] == task["updated_at"]
    assert entries_of(sql, UUID(task["id"])) == [(created.history_id, "CREATED")]
    assert sql("SELECT count(*) FROM task_history") == [(1,)]


async def test_a_key_of_another_task_is_refused_after_a_lost_answer(
    tasks_through_proxy: TaskService, proxy: Proxy, sql: Sql
) -> None:
    key = str(uuid4())
    await tasks_through_proxy.create_task("Buy", key=key)

    proxy.lose_next_answer()
    with pytest.raises(KeyReused):
        await tasks_through_proxy.create_task("Sell", key=key)

    assert sql("SELECT title FROM tasks") == [("Buy",)]
