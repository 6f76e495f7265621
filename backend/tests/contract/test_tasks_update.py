"""PUT /tasks/{id}."""

from uuid import uuid4

import pytest

from tests.support.client import Api, error_of


def last_description(api: Api, task_id: str) -> str:
    entry = api.history_of(task_id)[-1]
    assert entry["action_type"] == "UPDATED"
    return str(entry["description"])


def test_a_new_title_leaves_the_description(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")

    updated = api.update_task(task["id"], title="Buy groceries")

    assert updated == task | {"title": "Buy groceries", "updated_at": updated["updated_at"]}
    assert updated["updated_at"] > task["updated_at"]
    assert api.get_task(task["id"]) == updated
    assert last_description(api, task["id"]) == "Title changed from 'Buy' to 'Buy groceries'"


def test_a_new_description_leaves_the_title(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")

    updated = api.update_task(task["id"], description="Bread")

    assert updated == task | {"description": "Bread", "updated_at": updated["updated_at"]}
    assert last_description(api, task["id"]) == "Description changed"


def test_title_and_description_change_together(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")

    updated = api.update_task(task["id"], title="Buy groceries", description="Bread")

    assert (updated["title"], updated["description"]) == ("Buy groceries", "Bread")
    assert last_description(api, task["id"]) == "Title changed from 'Buy' to 'Buy groceries'; description changed"


def test_an_update_is_recorded_once_with_the_same_time(api: Api) -> None:
    updated = api.update_task(api.create_task()["id"], title="Other")

    created, entry = api.history_of(updated["id"])
    assert created["action_type"] == "CREATED"
    assert entry["timestamp"] == updated["updated_at"]


def test_null_leaves_a_field_as_it_is(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")

    assert api.update_task(task["id"], title=None, description="Bread")["title"] == "Buy"
    assert api.update_task(task["id"], title="Sell", description=None)["description"] == "Bread"


def test_an_empty_string_empties_the_description(api: Api) -> None:
    task = api.create_task(description="Milk")
    assert api.update_task(task["id"], description="")["description"] == ""


def test_an_empty_description_is_a_change_from_none(api: Api) -> None:
    task = api.create_task()
    assert api.update_task(task["id"], description="")["description"] == ""
    assert last_description(api, task["id"]) == "Description changed"


@pytest.mark.parametrize("fields", [{"title": "Buy"}, {"description": "Milk"}, {"title": "Buy", "description": "Milk"}])
def test_an_edit_without_a_difference_changes_and_records_nothing(api: Api, fields: dict[str, str]) -> None:
    task = api.create_task(title="Buy", description="Milk")

    assert api.update_task(task["id"], **fields) == task
    assert len(api.history_of(task["id"])) == 1


def test_a_complete_task_stays_complete(api: Api) -> None:
    completed = api.complete_task(api.create_task()["id"])

    updated = api.update_task(completed["id"], title="Other")

    assert (updated["is_completed"], updated["completed_at"]) == (True, completed["completed_at"])
    assert updated["updated_at"] > completed["updated_at"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "body: must set title or description"),
        ({"title": None, "description": None}, "body: must set title or description"),
        ({"title": ""}, "title: must be 1 to 255 characters"),
        ({"title": "\u2003"}, "title: must contain a visible character"),
        ({"title": "x" * 256}, "title: must be 1 to 255 characters"),
        ({"title": 5}, "title: must be a string"),
        ({"title": "a\0b"}, "title: must not contain NUL characters"),
        ({"description": "x" * 5001}, "description: must be at most 5000 characters"),
        ({"description": False}, "description: must be a string"),
        ({"title": "Other", "titel": "x"}, "titel: is not a known field"),
        ({"is_completed": True}, "is_completed: is changed by PATCH /tasks/{id}/complete or /incomplete"),
        ({"title": "Other", "completed_at": None}, "completed_at: is read-only"),
        ({"title": "Other", "id": str(uuid4())}, "id: is read-only"),
        (["title"], "body: must be a JSON object"),
    ],
)
def test_an_invalid_change_is_refused_and_changes_nothing(api: Api, body: object, error: str) -> None:
    task = api.create_task(title="Buy", description="Milk")

    assert error_of(api.put(f"/tasks/{task['id']}", json=body), 400) == error
    assert api.get_task(task["id"]) == task
    assert len(api.history_of(task["id"])) == 1


def test_an_unknown_task_is_not_found(api: Api) -> None:
    assert error_of(api.put(f"/tasks/{uuid4()}", json={"title": "x"}), 404) == "Task not found"


def test_a_malformed_id_is_refused(api: Api) -> None:
    assert error_of(api.put("/tasks/42", json={"title": "x"}), 400).startswith("task_id: must be a UUID")


def test_a_whole_task_is_refused_with_the_rule_for_each_read_only_field(api: Api) -> None:
    task = api.create_task()
    assert error_of(api.put(f"/tasks/{task['id']}", json={**task, "title": "Other"}), 400) == (
        "id: is read-only; is_completed: is changed by PATCH /tasks/{id}/complete or /incomplete;"
        " created_at: is read-only; updated_at: is read-only; completed_at: is read-only"
    )
    assert api.list_tasks() == [task]
