"""Tasks from creation to deletion, across the endpoints."""

from datetime import datetime, timedelta

from tests.support.client import Api, Json, error_of
from tests.support.databases import Sql


def described(api: Api, task: Json) -> list[tuple[str, str]]:
    return [(entry["action_type"], entry["description"]) for entry in api.history_of(task["id"])]


def test_a_created_task_is_in_the_database_with_its_history(api: Api, sql: Sql) -> None:
    task = api.create_task(title="Buy groceries", description="Milk")

    [row] = sql("SELECT * FROM tasks")
    assert (str(row.id), row.title, row.description, row.is_completed) == (task["id"], "Buy groceries", "Milk", False)
    assert row.created_at == row.updated_at == datetime.fromisoformat(task["created_at"])
    [entry] = sql("SELECT * FROM task_history")
    assert (str(entry.task_id), entry.action_type) == (task["id"], "CREATED")
    assert entry.timestamp == row.created_at


def test_a_task_is_completed_reopened_and_completed_again(api: Api) -> None:
    task = api.create_task()
    for _ in range(2):
        assert api.complete_task(task["id"])["completed_at"] is not None
        assert api.reopen_task(task["id"])["completed_at"] is None
    api.complete_task(task["id"])

    assert [action for action, _ in described(api, task)] == ["CREATED"] + ["COMPLETED", "INCOMPLETED"] * 2 + [
        "COMPLETED"
    ]


def test_partial_updates_add_up(api: Api) -> None:
    task = api.create_task(title="Buy")
    api.update_task(task["id"], title="Buy groceries")
    api.update_task(task["id"], description="Milk")
    api.update_task(task["id"], title="Buy groceries", description="Milk")

    updated = api.get_task(task["id"])
    assert (updated["title"], updated["description"]) == ("Buy groceries", "Milk")
    assert described(api, task) == [
        ("CREATED", "Task created: 'Buy'"),
        ("UPDATED", "Title changed from 'Buy' to 'Buy groceries'"),
        ("UPDATED", "Description changed"),
    ]


def test_the_history_records_every_change_of_a_task(api: Api) -> None:
    task = api.create_task(title="Buy groceries")
    api.complete_task(task["id"])
    api.update_task(task["id"], title="Buy flowers", description="Roses")
    api.reopen_task(task["id"])
    api.delete_task(task["id"])

    assert described(api, task) == [
        ("CREATED", "Task created: 'Buy groceries'"),
        ("COMPLETED", "Task marked as completed"),
        ("UPDATED", "Title changed from 'Buy groceries' to 'Buy flowers'; description changed"),
        ("INCOMPLETED", "Task marked as incomplete"),
        ("DELETED", "Task deleted: 'Buy flowers'"),
    ]
    times = [entry["timestamp"] for entry in api.history_of(task["id"])]
    assert times == sorted(set(times))


def test_a_deletion_removes_the_task_from_list_and_counts_but_not_from_the_history(api: Api) -> None:
    kept, deleted = api.create_task(), api.create_task()
    api.complete_task(deleted["id"])
    entries = api.history()["pagination"]["total_count"]

    api.delete_task(deleted["id"])

    assert api.list_tasks() == [kept]
    assert (api.stats()["total_tasks"], api.stats()["total_completed"]) == (1, 0)
    assert api.history()["pagination"]["total_count"] == entries + 1
    assert len(api.history_of(deleted["id"])) == 3


def test_the_list_shows_each_task_as_it_is_now(api: Api) -> None:
    tasks = [api.create_task(title=f"Task {number}") for number in range(5)]
    changed = api.update_task(tasks[0]["id"], title="Task zero")
    completed = [api.complete_task(tasks[number]["id"]) for number in (1, 3)]

    assert api.list_tasks() == [tasks[4], tasks[2], changed, completed[1], completed[0]]
    for task in api.list_tasks():
        assert api.get_task(task["id"]) == task


def test_a_refused_request_changes_nothing(api: Api) -> None:
    task = api.create_task()
    error_of(api.put(f"/tasks/{task['id']}", json={"title": ""}), 400)
    error_of(api.put(f"/tasks/{task['id']}", json={"is_completed": True}), 400)
    error_of(api.patch(f"/tasks/{task['id']}/done"), 404)

    assert api.list_tasks() == [task]
    assert len(api.history_of(task["id"])) == 1


def test_the_dashboard_counts_across_weeks(api: Api, sql: Sql) -> None:
    for weeks_ago in range(4):
        task = api.create_task()
        moment = datetime.fromisoformat(task["created_at"]) - timedelta(weeks=weeks_ago)
        sql(
            "UPDATE tasks SET created_at = :moment, completed_at = :moment, is_completed = true WHERE id = :id",
            moment=moment,
            id=task["id"],
        )
    api.create_task()

    stats = api.stats()
    assert (stats["tasks_created_this_week"], stats["tasks_completed_this_week"]) == (2, 1)
    assert (stats["total_completed"], stats["total_incomplete"], stats["total_tasks"]) == (4, 1, 5)


def test_a_task_at_the_end_of_time_can_be_changed(api: Api, sql: Sql) -> None:
    end = "9999-12-31T23:59:59.999999Z"
    task_id = api.create_task()["id"]
    sql("UPDATE tasks SET updated_at = :end", end=end)
    assert api.update_task(task_id, title="Other")["updated_at"] == end
    assert api.complete_task(task_id)["completed_at"] == end
    assert api.reopen_task(task_id)["updated_at"] == end
    api.delete_task(task_id)
    assert [entry["timestamp"] for entry in api.history_of(task_id)][1:] == [end] * 4
