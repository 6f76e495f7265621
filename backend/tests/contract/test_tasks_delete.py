"""DELETE /tasks/{id}."""

from uuid import uuid4

from tests.support.client import Api, error_of


def test_a_deleted_task_is_gone(api: Api) -> None:
    task, other = api.create_task(), api.create_task()

    api.delete_task(task["id"])

    assert error_of(api.get(f"/tasks/{task['id']}"), 404) == "Task not found"
    assert api.list_tasks() == [other]


def test_the_history_of_a_deleted_task_stays(api: Api) -> None:
    task = api.create_task(title="Buy groceries")
    before = api.history_of(task["id"])

    api.delete_task(task["id"])

    *kept, last = api.history_of(task["id"])
    assert kept == before
    assert (last["action_type"], last["description"]) == ("DELETED", "Task deleted: 'Buy groceries'")
    assert last["timestamp"] > task["updated_at"]


def test_a_second_deletion_is_not_found(api: Api) -> None:
    task = api.create_task()
    api.delete_task(task["id"])

    assert error_of(api.delete(f"/tasks/{task['id']}"), 404) == "Task not found"
    assert [entry["action_type"] for entry in api.history_of(task["id"])] == ["CREATED", "DELETED"]


def test_a_deleted_task_cannot_be_changed(api: Api) -> None:
    task = api.create_task()
    api.delete_task(task["id"])

    for response in (
        api.put(f"/tasks/{task['id']}", json={"title": "x"}),
        api.patch(f"/tasks/{task['id']}/complete"),
        api.patch(f"/tasks/{task['id']}/incomplete"),
    ):
        assert error_of(response, 404) == "Task not found"
    assert len(api.history_of(task["id"])) == 2


def test_an_unknown_task_is_not_found(api: Api) -> None:
    assert error_of(api.delete(f"/tasks/{uuid4()}"), 404) == "Task not found"
    assert api.history()["items"] == []


def test_a_malformed_id_is_refused(api: Api) -> None:
    assert error_of(api.delete("/tasks/42"), 400).startswith("task_id: must be a UUID")
