"""GET /tasks and GET /tasks/{id}."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import Api, data_of, error_of
from tests.support.databases import Sql


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


@pytest.fixture
def tasks(api: Api, sql: Sql) -> list[Any]:
    """Eleven tasks in the order of the list. Several in each half, incomplete and complete, share a moment."""
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Task', NULL, number % 2 = 0, at, at,"
        " CASE WHEN number % 2 = 0 THEN at END FROM generate_series(1, 11) AS number,"
        " LATERAL (SELECT timestamptz '2026-11-20 12:00Z' + number / 6 * interval '1 hour' AS at) AS moment"
    )
    return api.list_tasks()


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 10, 11, 100])
@pytest.mark.parametrize("is_completed", [None, False, True])
def test_links_lead_through_the_whole_list(api: Api, tasks: list[Any], limit: int, is_completed: bool | None) -> None:
    wanted = [task for task in tasks if is_completed in (None, task["is_completed"])]
    filters = {} if is_completed is None else {"is_completed": str(is_completed).lower()}

    pages = list(api.pages("/tasks", limit=limit, **filters))

    assert [task for page in pages for task in page] == wanted
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert 1 <= len(pages[-1]) <= limit


def test_tasks_are_filtered_by_completeness(api: Api, tasks: list[Any]) -> None:
    for word, is_completed in (("true", True), ("false", False)):
        listed = data_of(api.get("/tasks", params={"is_completed": word}))
        assert listed == [task for task in tasks if task["is_completed"] == is_completed]


def test_a_link_skips_and_repeats_nothing_when_the_list_changes(api: Api, tasks: list[Any]) -> None:
    first_page = api.get("/tasks?limit=2")
    # The last task of the page moves to the other half of the list, a new task comes first, the next task is deleted.
    api.complete_task(tasks[1]["id"])
    api.create_task()
    api.delete_task(tasks[2]["id"])
    assert data_of(api.get(first_page.links["next"]["url"])) == tasks[3:5]


def test_a_cursor_alone_gives_a_page_of_a_hundred(api: Api, sql: Sql) -> None:
    sql("INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, false, now(), now() FROM generate_series(1, 103)")
    link = api.get("/tasks?limit=1").links["next"]["url"]
    response = api.get("/tasks", params={"cursor": link.partition("cursor=")[2]})
    assert len(data_of(response)) == 100
    assert len(data_of(api.get(response.links["next"]["url"]))) == 2


def test_a_link_is_a_path_of_the_same_version(api: Api, tasks: list[Any]) -> None:
    for path in ("/tasks", "/api/v1/tasks"):
        link = api.get(path, params={"limit": 1, "is_completed": "false"}, headers={"Host": "other.localhost"})
        assert link.links["next"]["url"].startswith(f"{path}?limit=1&is_completed=false&cursor=f")
    assert "link" not in api.get("/tasks").headers
    assert "link" not in api.get("/tasks?limit=100").headers


def test_a_cursor_combines_with_the_filter_by_completeness(api: Api, tasks: list[Any]) -> None:
    incomplete = [task for task in tasks if not task["is_completed"]]
    complete = [task for task in tasks if task["is_completed"]]
    cursor = api.get(f"/tasks?limit={len(incomplete)}").links["next"]["url"].partition("cursor=")[2]
    assert data_of(api.get(f"/tasks?is_completed=true&cursor={cursor}")) == complete
    beyond = f"/tasks?is_completed=false&cursor=t{cursor[1:]}"
    assert data_of(api.get(beyond)) == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("limit=0", "limit: must be an integer from 1 to 100"),
        ("limit=101", "limit: must be an integer from 1 to 100"),
        ("is_completed=True", "is_completed: must be true or false"),
        ("is_completed=1", "is_completed: must be true or false"),
        ("is_completed=", "is_completed: must be true or false"),
        ("cursor=", "cursor: must be a cursor from a Link header of this path"),
        (f"cursor={'0' * 48}", "cursor: must be a cursor from a Link header of this path"),  # One of GET /history.
        (f"cursor=x{'0' * 48}", "cursor: must be a cursor from a Link header of this path"),
    ],
)
def test_a_parameter_out_of_range_is_refused(api: Api, query: str, error: str) -> None:
    assert error_of(api.get(f"/tasks?{query}"), 400) == error
