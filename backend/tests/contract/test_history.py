"""GET /history."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import Api, data_of, error_of

PAGINATION = ["total_count", "total_pages", "current_page", "page_size", "has_next", "has_prev"]


def pagination_of(api: Api, **parameters: Any) -> list[Any]:
    pagination = api.history(**parameters)["pagination"]
    assert list(pagination) == PAGINATION
    return list(pagination.values())


@pytest.fixture
def entries(api: Api) -> list[dict[str, Any]]:
    """25 entries, newest first."""
    for number in range(25):
        api.create_task(title=f"Task {number}")
    return list(api.history(limit=100)["items"])


def test_there_is_no_history_at_first(api: Api) -> None:
    history = api.history()
    assert list(history) == ["items", "pagination"]
    assert history["items"] == []
    assert list(history["pagination"].values()) == [0, 0, 1, 10, False, False]


def test_entries_come_newest_first(entries: list[dict[str, Any]]) -> None:
    assert [entry["description"] for entry in entries] == [f"Task created: 'Task {n}'" for n in reversed(range(25))]
    times = [entry["timestamp"] for entry in entries]
    assert times == sorted(times, reverse=True)


def test_a_page_has_ten_entries_by_default(api: Api, entries: list[dict[str, Any]]) -> None:
    assert api.history()["items"] == entries[:10]
    assert pagination_of(api) == [25, 3, 1, 10, True, False]


def test_pages_follow_each_other_without_gap_or_overlap(api: Api, entries: list[dict[str, Any]]) -> None:
    pages = [api.history(page=page, limit=10)["items"] for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [entry for page in pages for entry in page] == entries


@pytest.mark.parametrize(
    ("parameters", "pagination"),
    [
        ({"page": 1, "limit": 10}, [25, 3, 1, 10, True, False]),
        ({"page": 2, "limit": 10}, [25, 3, 2, 10, True, True]),
        ({"page": 3, "limit": 10}, [25, 3, 3, 10, False, True]),
        ({"page": 5, "limit": 5}, [25, 5, 5, 5, False, True]),
        ({"page": 1, "limit": 25}, [25, 1, 1, 25, False, False]),
        ({"page": 1, "limit": 100}, [25, 1, 1, 100, False, False]),
        ({"page": 25, "limit": 1}, [25, 25, 25, 1, False, True]),
        ({"offset": 0}, [25, 3, 1, 10, True, False]),
        ({"offset": 20}, [25, 3, 3, 10, False, True]),
        ({"offset": 7, "limit": 5}, [25, 5, 2, 5, True, True]),
    ],
)
def test_pagination_is_exact(
    api: Api, entries: list[dict[str, Any]], parameters: dict[str, int], pagination: list[Any]
) -> None:
    assert pagination_of(api, **parameters) == pagination
    limit = parameters.get("limit", 10)
    first = parameters.get("offset", (parameters.get("page", 1) - 1) * limit)
    assert api.history(**parameters)["items"] == entries[first : first + limit]


def test_page_wins_over_offset(api: Api, entries: list[dict[str, Any]]) -> None:
    assert api.history(page=2, offset=0)["items"] == entries[10:20]
    assert api.history(page=1, offset=20)["items"] == entries[:10]


@pytest.mark.parametrize("parameters", [{"page": 4}, {"page": 2**53 - 1, "limit": 100}, {"offset": 2**53 - 1}])
def test_a_page_past_the_end_is_empty(api: Api, entries: list[dict[str, Any]], parameters: dict[str, int]) -> None:
    history = api.history(**parameters)
    assert history["items"] == []
    assert history["pagination"]["total_count"] == len(entries)
    assert (history["pagination"]["has_next"], history["pagination"]["has_prev"]) == (False, True)


def test_a_task_has_its_own_history(api: Api) -> None:
    task, other = api.create_task(), api.create_task()
    api.complete_task(task["id"])
    api.complete_task(other["id"])

    history = api.history(task_id=task["id"])
    assert [entry["action_type"] for entry in history["items"]] == ["COMPLETED", "CREATED"]
    assert {entry["task_id"] for entry in history["items"]} == {task["id"]}
    assert history["pagination"]["total_count"] == 2


def test_a_deleted_task_keeps_its_history(api: Api) -> None:
    task = api.create_task()
    api.delete_task(task["id"])
    assert [entry["action_type"] for entry in api.history(task_id=task["id"])["items"]] == ["DELETED", "CREATED"]


def test_an_unknown_task_has_no_history(api: Api, entries: list[dict[str, Any]]) -> None:
    assert pagination_of(api, task_id=str(uuid4())) == [0, 0, 1, 10, False, False]


def test_entries_are_filtered_by_action(api: Api) -> None:
    task = api.create_task()
    api.update_task(task["id"], title="Other")
    api.complete_task(task["id"])
    api.reopen_task(task["id"])
    api.delete_task(task["id"])

    for action in ("CREATED", "UPDATED", "COMPLETED", "INCOMPLETED", "DELETED"):
        history = api.history(action_type=action)
        assert [entry["action_type"] for entry in history["items"]] == [action]
        assert history["pagination"]["total_count"] == 1


def test_filters_combine_with_each_other_and_with_pages(api: Api) -> None:
    task, other = api.create_task(), api.create_task()
    for _ in range(3):
        for each in (task, other):
            api.complete_task(each["id"])
            api.reopen_task(each["id"])

    parameters = {"task_id": task["id"], "action_type": "COMPLETED", "limit": 2}
    first, second = api.history(page=1, **parameters), api.history(page=2, **parameters)
    assert [len(first["items"]), len(second["items"])] == [2, 1]
    assert {(entry["task_id"], entry["action_type"]) for entry in first["items"] + second["items"]} == {
        (task["id"], "COMPLETED")
    }
    assert list(second["pagination"].values()) == [3, 2, 2, 2, False, True]


PAGE_RANGE = "page: must be an integer from 1 to 9007199254740991"
LIMIT_RANGE = "limit: must be an integer from 1 to 100"
CURSOR_RULE = "cursor: must be a cursor from a Link header of this path"
OFFSET_RANGE = "offset: must be an integer from 0 to 9007199254740991"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("page=0", PAGE_RANGE),
        ("page=-1", PAGE_RANGE),
        ("page=abc", PAGE_RANGE),
        ("page=", PAGE_RANGE),
        ("page=1.0", PAGE_RANGE),
        ("page=1_0", PAGE_RANGE),
        ("page=%2B1", PAGE_RANGE),
        ("page=%201", PAGE_RANGE),
        ("page=%D9%A1", PAGE_RANGE),  # An Arabic-Indic digit one.
        (f"page={10**30}", PAGE_RANGE),
        ("page=" + "9" * 5000, PAGE_RANGE),
        ("limit=0", LIMIT_RANGE),
        ("limit=101", LIMIT_RANGE),
        ("limit=ten", LIMIT_RANGE),
        ("offset=-1", OFFSET_RANGE),
        (f"offset={2**63}", OFFSET_RANGE),
        ("task_id=42", "task_id: must be a UUID such as 0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"),
        (
            "action_type=created",
            "action_type: must be one of 'CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED' or 'DELETED'",
        ),
        ("page=0&limit=0", f"{PAGE_RANGE}; {LIMIT_RANGE}"),
        ("cursor=", CURSOR_RULE),
        ("cursor=1", CURSOR_RULE),
        (f"cursor={'g' * 48}", CURSOR_RULE),
        (f"cursor={'A' * 48}", CURSOR_RULE),
        (f"cursor=t{'0' * 48}", CURSOR_RULE),  # One of GET /tasks.
        (f"cursor={'0' * 49}", CURSOR_RULE),
    ],
)
def test_a_parameter_out_of_range_is_refused_with_the_range(api: Api, query: str, error: str) -> None:
    assert error_of(api.get(f"/history?{query}"), 400) == error


@pytest.mark.parametrize("limit", [1, 4, 10, 25])
def test_links_lead_through_the_whole_log(api: Api, entries: list[dict[str, Any]], limit: int) -> None:
    pages = list(api.pages("/history", limit=limit))
    assert pages == [api.history(page=number, limit=limit) for number in range(1, len(pages) + 1)]
    assert [entry for page in pages for entry in page["items"]] == entries


@pytest.mark.parametrize("cursor", ["0" * 48, "f" * 48])
def test_a_cursor_may_point_to_the_ends_of_time(api: Api, entries: list[dict[str, Any]], cursor: str) -> None:
    """Nothing is older than the first moment; everything is older than the last."""
    older = entries[:10] if cursor[0] == "f" else []
    history = api.history(cursor=cursor)
    assert history["items"] == older
    assert history["pagination"]["has_prev"] == (not older)


def test_links_keep_the_filters(api: Api, entries: list[dict[str, Any]]) -> None:
    task_id = entries[7]["task_id"]
    for number in range(5):
        api.update_task(task_id, title=f"Other {number}")
    for filters in ({"task_id": task_id}, {"action_type": "UPDATED"}, {"task_id": task_id, "action_type": "UPDATED"}):
        pages = list(api.pages("/history", limit=2, **filters))
        assert len(pages) == 3
        assert [entry for page in pages for entry in page["items"]] == api.history(limit=100, **filters)["items"]


def test_a_link_skips_and_repeats_nothing_when_entries_are_added(api: Api, entries: list[dict[str, Any]]) -> None:
    response = api.get("/history", params={"page": 2, "limit": 5})
    api.create_task()
    following = data_of(api.get(response.links["next"]["url"]))
    assert following["items"] == entries[10:15]
    # The new entry comes first, and moves every page by one.
    assert list(following["pagination"].values()) == [26, 6, 3, 5, True, True]


def test_a_cursor_wins_over_the_page(api: Api, entries: list[dict[str, Any]]) -> None:
    link = api.get("/history?limit=5").links["next"]["url"]
    assert api.get(f"{link}&page=4&offset=3").json() == api.get(link).json()
