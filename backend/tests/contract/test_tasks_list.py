"""GET /tasks and GET /tasks/{id}."""

from uuid import uuid4

import pytest

from tests.client import Api, error_of
from tests.conftest import Sql


def test_there_are_no_tasks_at_first(api: Api) -> None:
    assert api.list_tasks() == []


def test_every_task_is_listed_newest_first(api: Api) -> None:
    tasks = [api.create_task(title=f"Task {number}") for number in range(12)]
    assert api.list_tasks() == tasks[::-1]


def test_incomplete_tasks_come_before_complete_ones(api: Api) -> None:
    first, second, third, fourth = (api.create_task(title=f"Task {number}") for number in range(4))
    fourth = api.complete_task(fourth["id"])
    second = api.complete_task(second["id"])

    assert api.list_tasks() == [third, first, fourth, second]


def test_tasks_of_one_moment_are_listed_by_id(api: Api, sql: Sql) -> None:
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Task', NULL, false, moment, moment, NULL"
        " FROM now() AS moment, generate_series(1, 20)"
    )
    ids = [task["id"] for task in api.list_tasks()]
    assert ids == sorted(ids)
    assert len(ids) == 20


def test_a_task_is_found_by_its_id(api: Api) -> None:
    task = api.create_task(description="Milk")
    api.create_task()

    assert api.get_task(task["id"]) == task
    assert api.get_task(task["id"].upper()) == task


def test_an_unknown_task_is_not_found(api: Api) -> None:
    api.create_task()
    assert error_of(api.get(f"/tasks/{uuid4()}"), 404) == "Task not found"


@pytest.mark.parametrize(
    "task_id",
    ["42", "not-a-uuid", "0b7e1f0a6f0e4c2b9d0e2f6a5f1c9a11", "%7B0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11%7D", "%00"],
)
def test_a_malformed_id_is_refused(api: Api, task_id: str) -> None:
    assert error_of(api.get(f"/tasks/{task_id}"), 400).startswith("task_id: must be a UUID")


def test_unknown_query_parameters_are_ignored(api: Api) -> None:
    task = api.create_task()
    assert api.get("/tasks", params={"color": "green"}).json()["data"] == [task]
