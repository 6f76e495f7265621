"""PATCH /tasks/{id}/complete and /incomplete."""

from uuid import uuid4

import pytest

from tests.support.client import Api, error_of


def actions(api: Api, task_id: str) -> list[str]:
    return [entry["action_type"] for entry in api.history_of(task_id)]


def test_an_incomplete_task_becomes_complete(api: Api) -> None:
    task = api.create_task()

    completed = api.complete_task(task["id"])

    assert completed["is_completed"] is True
    assert completed["completed_at"] == completed["updated_at"] > task["updated_at"]
    unchanged = ("id", "title", "description", "created_at")
    assert [completed[field] for field in unchanged] == [task[field] for field in unchanged]
    assert api.get_task(task["id"]) == completed


def test_completion_is_recorded_in_the_history_with_the_same_time(api: Api) -> None:
    completed = api.complete_task(api.create_task()["id"])

    entry = api.history_of(completed["id"])[-1]
    assert (entry["action_type"], entry["description"]) == ("COMPLETED", "Task marked as completed")
    assert entry["timestamp"] == completed["completed_at"]


def test_completing_again_changes_and_records_nothing(api: Api) -> None:
    completed = api.complete_task(api.create_task()["id"])

    assert api.complete_task(completed["id"]) == completed
    assert actions(api, completed["id"]) == ["CREATED", "COMPLETED"]


def test_a_complete_task_becomes_incomplete(api: Api) -> None:
    completed = api.complete_task(api.create_task()["id"])

    reopened = api.reopen_task(completed["id"])

    assert (reopened["is_completed"], reopened["completed_at"]) == (False, None)
    assert reopened["updated_at"] > completed["updated_at"]
    assert api.get_task(reopened["id"]) == reopened
    entry = api.history_of(reopened["id"])[-1]
    assert (entry["action_type"], entry["description"]) == ("INCOMPLETED", "Task marked as incomplete")
    assert entry["timestamp"] == reopened["updated_at"]


def test_reopening_again_changes_and_records_nothing(api: Api) -> None:
    task = api.create_task()

    assert api.reopen_task(task["id"]) == task
    assert actions(api, task["id"]) == ["CREATED"]


def test_a_task_completed_a_second_time_gets_a_new_time(api: Api) -> None:
    first = api.complete_task(api.create_task()["id"])
    api.reopen_task(first["id"])

    assert api.complete_task(first["id"])["completed_at"] > first["completed_at"]
    assert actions(api, first["id"]) == ["CREATED", "COMPLETED", "INCOMPLETED", "COMPLETED"]


@pytest.mark.parametrize("action", ["complete", "incomplete"])
def test_an_unknown_task_is_not_found(api: Api, action: str) -> None:
    assert error_of(api.patch(f"/tasks/{uuid4()}/{action}"), 404) == "Task not found"
    assert api.history()["items"] == []


@pytest.mark.parametrize("action", ["complete", "incomplete"])
def test_a_malformed_id_is_refused(api: Api, action: str) -> None:
    assert error_of(api.patch(f"/tasks/42/{action}"), 400).startswith("task_id: must be a UUID")
