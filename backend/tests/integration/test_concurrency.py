"""Callers who race for the same task, over HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from src.database.database import Database
from tests.support.client import Api, data_of
from tests.support.databases import WAITING_FOR_A_LOCK, Sql, settings_for, transaction
from tests.support.races import CALLERS, assert_legal, race
from tests.support.waiting import wait_until


@pytest.mark.parametrize("attempt", range(3))
def test_a_task_that_many_complete_at_once_is_completed_once(api: Api, attempt: int) -> None:
    task = api.create_task()
    responses = race([lambda: api.patch(f"/tasks/{task['id']}/complete")] * CALLERS)

    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    assert [entry["action_type"] for entry in api.history_of(task["id"])] == ["CREATED", "COMPLETED"]


def test_a_task_that_many_delete_at_once_is_deleted_once(api: Api) -> None:
    task = api.create_task()
    responses = race([lambda: api.delete(f"/tasks/{task['id']}")] * CALLERS)

    assert sorted(response.status_code for response in responses) == [200] + [404] * (CALLERS - 1)
    assert [entry["action_type"] for entry in api.history_of(task["id"])] == ["CREATED", "DELETED"]


def test_an_edit_that_many_make_at_once_is_made_once(api: Api) -> None:
    task = api.create_task(title="Buy")
    responses = race([lambda: api.put(f"/tasks/{task['id']}", json={"title": "Sell"})] * CALLERS)

    assert {response.status_code for response in responses} == {200}
    assert [entry["description"] for entry in api.history_of(task["id"])] == [
        "Task created: 'Buy'",
        "Title changed from 'Buy' to 'Sell'",
    ]


def test_simultaneous_edits_are_made_one_after_the_other(api: Api) -> None:
    task = api.create_task(title="Title 0")
    path = f"/tasks/{task['id']}"
    responses = race([partial(api.put, path, json={"title": f"Title {n}"}) for n in range(1, CALLERS + 1)])

    assert {response.status_code for response in responses} == {200}
    entries = api.history_of(task["id"])
    assert_legal(entries)
    assert {response.json()["data"]["updated_at"] for response in responses} == {
        entry["timestamp"] for entry in entries[1:]
    }
    # Each edit starts from the title that the previous one set.
    title = "Title 0"
    for entry in entries[1:]:
        assert entry["description"].startswith(f"Title changed from '{title}' to '")
        title = entry["description"].removesuffix("'").rpartition("'")[2]
    assert api.get_task(task["id"])["title"] == title


@pytest.mark.parametrize("attempt", range(5))
def test_a_race_of_everything_leaves_a_legal_history(api: Api, attempt: int) -> None:
    task = api.create_task()
    path = f"/tasks/{task['id']}"
    calls: list[Callable[[], httpx.Response]] = []
    for number in range(16):
        calls += [
            lambda: api.patch(f"{path}/complete"),
            lambda: api.patch(f"{path}/incomplete"),
            partial(api.put, path, json={"title": f"Title {number}"}),
        ]
    calls.insert(attempt * 12, lambda: api.delete(path))
    calls.append(lambda: api.get(path))

    responses = race(calls)

    assert {response.status_code for response in responses} <= {200, 404}
    entries = api.history_of(task["id"])
    assert_legal(entries)
    assert entries[-1]["action_type"] == "DELETED"
    # Every acknowledged change is in the history, at the time that the caller was told.
    times = {entry["timestamp"] for entry in entries}
    told = [response.json()["data"] for response in responses if response.status_code == 200]
    assert {task["updated_at"] for task in told if task} <= times


def test_tasks_created_at_once_are_all_there(api: Api) -> None:
    responses = race([lambda: api.post("/tasks", json={"title": "x"})] * CALLERS)

    assert {response.status_code for response in responses} == {201}
    assert {task["id"] for task in api.list_tasks()} == {response.json()["data"]["id"] for response in responses}
    assert api.history(limit=100)["pagination"]["total_count"] == CALLERS


CHANGES: dict[str, tuple[Callable[[Api, str, int], httpx.Response], list[int], int]] = {
    # The request, the statuses that 12 callers get, and the number of history entries.
    "edits": (lambda api, path, number: api.put(path, json={"title": f"Title {number}"}), [200] * 12, 12),
    "completions": (lambda api, path, _: api.patch(f"{path}/complete"), [200] * 12, 1),
    "reopenings": (lambda api, path, _: api.patch(f"{path}/incomplete"), [200] * 12, 0),
    "deletions": (lambda api, path, _: api.delete(path), [200] + [404] * 11, 1),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_locked_task_delays_only_the_callers_who_change_it(
    api: Api, live_app: tuple[FastAPI, str], database_url: URL, sql: Sql, kind: str
) -> None:
    change, statuses, entries = CHANGES[kind]
    task, other = api.create_task(), api.create_task()
    database = live_app[0].state.database = Database(settings_for(database_url, database_pool_size=3))
    with ThreadPoolExecutor(len(statuses)) as threads:
        with transaction(database_url, f"SELECT FROM tasks WHERE id = '{task['id']}' FOR UPDATE"):
            callers = [threads.submit(change, api, f"/tasks/{task['id']}", number) for number in range(len(statuses))]
            wait_until(lambda: waiters(database, task["id"]) == len(statuses) - 1)
            wait_until(lambda: sql(WAITING_FOR_A_LOCK))

            assert api.get_task(other["id"]) == other
            assert api.complete_task(other["id"])["is_completed"]
            api.create_task()
            assert data_of(api.get("/health/ready")) == {"status": "ready"}
            assert len(sql(WAITING_FOR_A_LOCK)) == 1
        answers = [caller.result() for caller in callers]

    assert sorted(answer.status_code for answer in answers) == statuses
    assert len(api.history_of(task["id"])) == 1 + entries
    wait_until(lambda: not database.task_locks._locks)


def waiters(database: Database, task_id: str) -> int:
    """How many callers wait for the lock of a task."""
    lock = database.task_locks._locks.get(UUID(task_id))
    return 0 if lock is None else len(lock._waiters or ())
