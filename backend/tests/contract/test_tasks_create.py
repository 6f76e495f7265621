"""POST /tasks."""

import json
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from tests.support.client import Api, data_of, error_of
from tests.support.databases import Sql

RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_a_task_with_title_and_description_is_created(api: Api) -> None:
    response = api.post("/tasks", json={"title": "Buy groceries", "description": "Milk and bread"})

    task = data_of(response, 201, "TASK_CREATED")
    assert list(task) == ["id", "title", "description", "is_completed", "created_at", "updated_at", "completed_at"]
    assert UUID(task["id"]).version == 4
    assert (task["title"], task["description"]) == ("Buy groceries", "Milk and bread")
    assert task["is_completed"] is False
    assert task["completed_at"] is None
    assert task["created_at"] == task["updated_at"]
    assert RFC3339_UTC.fullmatch(task["created_at"])
    assert abs(datetime.now(UTC) - datetime.fromisoformat(task["created_at"])) < timedelta(minutes=1)
    assert api.get_task(task["id"]) == task


def test_a_task_needs_only_a_title(api: Api) -> None:
    assert api.create_task(title="Call mum")["description"] is None


def test_creation_is_recorded_in_the_history_with_the_same_time(api: Api) -> None:
    task = api.create_task(title="Buy groceries")

    [entry] = api.history_of(task["id"])
    assert list(entry) == ["history_id", "task_id", "action_type", "description", "timestamp", "task_title"]
    assert entry["action_type"] == "CREATED"
    assert entry["description"] == "Task created: 'Buy groceries'"
    assert entry["timestamp"] == task["created_at"]


@pytest.mark.parametrize(
    "title",
    [
        "x",
        "x" * 255,
        "\U0001f6d2" * 255,  # 255 characters, though 510 UTF-16 units and 1,020 bytes.
        "  surrounded by spaces  ",
        "line one\nline two\ttabbed",
        "quotes ' \" and \\ and %s and {} and :name",
        "'); DROP TABLE tasks; --",
        "e\u0301 and \u00e9 stay apart",
        "\u202eright to left",
        "\U0001fae8 newer than this Python",
    ],
)
def test_a_title_is_stored_exactly_as_sent(api: Api, title: str) -> None:
    task = api.create_task(title=title, description=title)
    assert (task["title"], task["description"]) == (title, title)
    assert api.get_task(task["id"]) == task


@pytest.mark.parametrize("description", [None, "", " ", "x" * 5000, "\U0001f6d2" * 5000])
def test_a_description_is_stored_exactly_as_sent(api: Api, description: str | None) -> None:
    assert api.create_task(description=description)["description"] == description


TITLE_LENGTH = "title: must be 1 to 255 characters"
TITLE_VISIBLE = "title: must contain a visible character"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"title": ""}, TITLE_LENGTH),
        ({"title": "x" * 256}, TITLE_LENGTH),
        ({"title": " " * 256}, TITLE_LENGTH),
        ({"title": " "}, TITLE_VISIBLE),
        ({"title": "\t\r\n"}, TITLE_VISIBLE),
        ({"title": "\u00a0\u2003\u3000"}, TITLE_VISIBLE),
        ({"title": "\u200b\ufeff\u00ad"}, TITLE_VISIBLE),
        ({"title": "\u2800\u3164"}, TITLE_VISIBLE),
        ({"title": None}, "title: must be a string"),
        ({"title": 5}, "title: must be a string"),
        ({"title": True}, "title: must be a string"),
        ({"title": ["x"]}, "title: must be a string"),
        ({"title": {"x": 1}}, "title: must be a string"),
        ({}, "title: is required"),
        ({"title": "x\0y"}, "title: must not contain NUL characters"),
        ({"title": "x", "description": "x" * 5001}, "description: must be at most 5000 characters"),
        ({"title": "x", "description": 5}, "description: must be a string"),
        ({"title": "x", "description": "\0"}, "description: must not contain NUL characters"),
        ({"title": "x", "is_completed": True}, "is_completed: is not a known field"),
        ({"title": "x", "t\u00edtulo": "x"}, "t\u00edtulo: is not a known field"),
        ({"title": "x", "": "x"}, "'': is not a known field"),
        ({"titel": "x"}, "title: is required; titel: is not a known field"),
        ({"title": "", "description": 5}, f"{TITLE_LENGTH}; description: must be a string"),
    ],
)
def test_an_invalid_task_is_refused_by_field_and_rule(api: Api, sql: Sql, body: object, error: str) -> None:
    assert error_of(api.post("/tasks", json=body), 400) == error
    assert sql("SELECT FROM tasks") == []
    assert sql("SELECT FROM task_history") == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"title": "\\ud800"}', "title: must not contain lone surrogates"),
        (b'{"title": "x", "description": "\\udc00"}', "description: must not contain lone surrogates"),
        (b'{"title": "x"', "body: is not valid JSON"),
        (b"title=x", "body: is not valid JSON"),
        (b'{"title": "\xff"}', "body: must be UTF-8"),
        (b'["x"]', "body: must be a JSON object"),
        (b'"x"', "body: must be a JSON object"),
        (b"null", "body: must be a JSON object"),
        (b"", "body: is required"),
    ],
)
def test_a_body_that_is_no_task_is_refused(api: Api, sql: Sql, body: bytes, error: str) -> None:
    response = api.post("/tasks", content=body, headers={"Content-Type": "application/json"})
    assert error_of(response, 400) == error
    assert sql("SELECT FROM tasks") == []


def post_raw(api: Api, body: str) -> httpx.Response:
    return api.post("/tasks", content=body, headers={"Content-Type": "application/json"})


def test_the_error_shortens_and_escapes_a_hostile_field_name(api: Api) -> None:
    error = error_of(post_raw(api, json.dumps({"title": "x", "\u202e" + "y" * 10_000: 1})), 400)
    assert error.startswith("'\\u202eyyy")
    assert error.endswith("yyy': is not a known field")
    assert len(error) < 120


def test_a_field_name_with_a_lone_surrogate_is_refused(api: Api) -> None:
    assert error_of(post_raw(api, '{"title": "x", "\\ud800": 1}'), 400) == "body: must not contain lone surrogates"


def test_the_error_names_only_the_first_of_many_problems(api: Api) -> None:
    error = error_of(post_raw(api, json.dumps({f"field{number}": 1 for number in range(100)})), 400)
    assert error.startswith("title: is required; field0: is not a known field")
    assert len(error) < 200
