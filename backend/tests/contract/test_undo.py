"""POST /history/{history_id}/undo."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from tests.support.audit import MISCOUNTED
from tests.support.client import UNDO_POPUPS, Api, Json, error_of
from tests.support.databases import OLD_ENTRY, Sql


def actions(api: Api, task: Json) -> list[str]:
    return [entry["action_type"] for entry in api.history_of(task["id"])]


def undo_path(entry: Json) -> str:
    return f"/history/{entry['history_id']}/undo"


def deed(api: Api, kind: str) -> tuple[Json, Json]:
    """Make a change of this kind; return the task before it, and its entry."""
    task = api.create_task(title="Buy", description="Milk")
    if kind == "INCOMPLETED":
        task = api.complete_task(task["id"])
    if kind == "UPDATED":
        api.update_task(task["id"], title="Sell", description="Bread")
    elif kind == "COMPLETED":
        api.complete_task(task["id"])
    elif kind == "INCOMPLETED":
        api.reopen_task(task["id"])
    elif kind == "DELETED":
        api.delete_task(task["id"])
    return task, api.last_entry_of(task["id"])


@pytest.mark.parametrize("kind", UNDO_POPUPS)
def test_an_undo_can_be_undone_again_and_again(api: Api, kind: str) -> None:
    """Ten times: each undo reverses the last, and the task has all that it had two undos ago."""
    task, entry = deed(api, kind)
    states = [api.undo(entry)]
    chain = [entry]
    for _ in range(10):
        chain.append(api.last_entry_of(task["id"]))
        states.append(api.undo(chain[-1]))

    for state, two_later in zip(states, states[2:], strict=False):
        assert (state is None) == (two_later is None)
        if state is not None:
            assert two_later == state | {"updated_at": two_later["updated_at"]}
            assert two_later["updated_at"] > state["updated_at"]
    linked = [api.entry(each["history_id"]) for each in chain] + [api.last_entry_of(task["id"])]
    for undone, undo in pairwise(linked):
        assert undone["undone_by"] == undo["history_id"]
        assert undo["undoes"] == undone["history_id"]
    assert (linked[0]["undoes"], linked[-1]["undone_by"]) == (None, None)
    times = [each["timestamp"] for each in linked]
    assert times == sorted(set(times))


@pytest.mark.parametrize("kind", UNDO_POPUPS)
def test_the_undo_of_an_undo_is_described_like_any_undo(api: Api, kind: str) -> None:
    task, entry = deed(api, kind)
    for _ in range(2):
        api.undo(entry)
        entry = api.last_entry_of(task["id"])
    assert (entry["action_type"], entry["description"]) == {
        "CREATED": ("CREATED", "Task restored: 'Buy'"),
        "UPDATED": ("UPDATED", "Title changed from 'Buy' to 'Sell'; description changed (undo)"),
        "COMPLETED": ("COMPLETED", "Task marked as completed (undo)"),
        "INCOMPLETED": ("INCOMPLETED", "Task marked as incomplete (undo)"),
        "DELETED": ("DELETED", "Task deleted: 'Buy' (undo)"),
    }[kind]


def test_all_changes_of_a_task_can_be_undone_from_the_last_to_the_first(api: Api) -> None:
    task = api.create_task(title="Buy")
    states = [
        task,
        api.update_task(task["id"], title="Sell"),
        api.complete_task(task["id"]),
        api.update_task(task["id"], title="Lend", description="Milk"),
        api.reopen_task(task["id"]),
    ]
    api.delete_task(task["id"])
    entries = api.history_of(task["id"])
    for state, entry in zip(reversed(states), reversed(entries), strict=False):
        undone = api.undo(entry)
        assert undone == state | {"updated_at": undone["updated_at"]}
    assert api.undo(entries[0]) is None
    assert api.list_tasks() == []
    assert len(api.history_of(task["id"])) == 2 * len(entries)


def test_edits_of_different_fields_can_be_undone_in_any_order(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")
    api.update_task(task["id"], title="Sell")
    api.update_task(task["id"], description="Bread")
    api.complete_task(task["id"])
    _, title, description, completion = api.history_of(task["id"])

    assert api.undo(title)["title"] == "Buy"
    assert api.undo(completion)["completed_at"] is None
    undone = api.undo(description)
    assert undone == task | {"updated_at": undone["updated_at"]}


def test_a_restored_task_is_complete_since_it_was_completed(api: Api) -> None:
    task = api.create_task()
    completed = api.complete_task(task["id"])
    api.delete_task(task["id"])
    deletion = api.last_entry_of(task["id"])

    restored = api.undo(deletion)

    assert restored == completed | {"updated_at": restored["updated_at"]}
    assert restored["updated_at"] > deletion["timestamp"] > completed["updated_at"]
    assert api.list_tasks() == [restored]
    assert api.last_entry_of(task["id"])["timestamp"] == restored["updated_at"]


def test_a_restored_task_can_be_changed_like_any_other(api: Api) -> None:
    task = api.create_task()
    api.delete_task(task["id"])
    api.undo(api.last_entry_of(task["id"]))

    api.update_task(task["id"], title="Other")
    api.complete_task(task["id"])
    api.reopen_task(task["id"])
    api.delete_task(task["id"])

    assert actions(api, task)[2:] == ["CREATED", "UPDATED", "COMPLETED", "INCOMPLETED", "DELETED"]


def test_only_the_last_deletion_of_a_task_can_restore_it(api: Api) -> None:
    task = api.create_task()
    api.delete_task(task["id"])
    first = api.last_entry_of(task["id"])
    api.undo(first)
    api.delete_task(task["id"])
    entries = api.history_of(task["id"])

    assert api.undo(first) is None
    assert api.history_of(task["id"]) == entries
    assert api.undo(entries[-1])["id"] == task["id"]


def test_time_moves_on_although_the_clock_was_set_back(api: Api, sql: Sql) -> None:
    task = api.create_task()
    sql("UPDATE tasks SET updated_at = updated_at + interval '1 hour'")
    later = datetime.fromisoformat(task["updated_at"]) + timedelta(hours=1)
    api.complete_task(task["id"])
    times = [api.undo(api.last_entry_of(task["id"]))["updated_at"]]
    api.delete_task(task["id"])
    times.append(api.undo(api.last_entry_of(task["id"]))["updated_at"])

    tick = timedelta(microseconds=1)
    assert [datetime.fromisoformat(moment) for moment in times] == [later + 2 * tick, later + 4 * tick]


@pytest.mark.parametrize("kind", UNDO_POPUPS)
def test_the_answer_names_the_entry_that_was_written_once(api: Api, kind: str) -> None:
    _, entry = deed(api, kind)
    response = api.post(undo_path(entry))
    again = api.post(undo_path(entry))

    written = api.entry(response.headers["History-ID"])
    assert (written["undoes"], written["task_id"]) == (entry["history_id"], entry["task_id"])
    assert UUID(written["history_id"]).version == 4
    assert again.text == response.text
    assert "History-ID" not in again.headers
    assert "Idempotency-Replayed" not in again.headers


@pytest.mark.parametrize("action", UNDO_POPUPS)
def test_an_entry_of_an_older_version_is_too_old(api: Api, sql: Sql, action: str) -> None:
    task = api.create_task()
    for task_id in (task["id"], str(uuid4())):
        history_id = uuid4()
        sql(OLD_ENTRY, history_id=history_id, task_id=task_id, action=action)
        before = api.history()
        response = api.post(f"/history/{history_id}/undo")
        assert error_of(response, 409) == "This entry is too old to be undone"
        assert "History-ID" not in response.headers
        assert (api.history(), api.list_tasks()) == (before, [task])


def test_the_changes_since_an_upgrade_can_be_undone(api: Api, sql: Sql) -> None:
    """The task and its creation are of an older version."""
    task_id = str(uuid4())
    sql("INSERT INTO tasks VALUES (:id, 'Old', NULL, true, '2020-01-01Z', '2020-01-02Z', '2020-01-02Z')", id=task_id)
    sql(OLD_ENTRY, history_id=uuid4(), task_id=task_id, action="CREATED")
    task = api.get_task(task_id)
    api.update_task(task_id, description="Milk")
    api.reopen_task(task_id)
    api.delete_task(task_id)
    for entry in reversed(api.history_of(task_id)[1:]):
        undone = api.undo(entry)
    assert undone == task | {"updated_at": undone["updated_at"]}


@pytest.mark.parametrize("kind", UNDO_POPUPS)
def test_counts_stay_exact_after_undo_and_redo(api: Api, sql: Sql, kind: str) -> None:
    api.complete_task(api.create_task()["id"])
    task, entry = deed(api, kind)
    for _ in range(3):
        api.undo(entry)
        entry = api.last_entry_of(task["id"])
        tasks, stats = api.list_tasks(), api.stats()
        assert stats["total_tasks"] == stats["tasks_created_this_week"] == len(tasks)
        completed = sum(each["is_completed"] for each in tasks)
        assert stats["total_completed"] == stats["tasks_completed_this_week"] == completed
        for action in UNDO_POPUPS:
            page = api.history(action_type=action, limit=100)
            assert page["pagination"]["total_count"] == len(page["items"])
        assert sql(MISCOUNTED) == []


def test_an_undone_reopening_counts_in_the_week_of_the_completion(api: Api, sql: Sql) -> None:
    """The task was completed two weeks ago."""
    task_id, then = str(uuid4()), datetime.now(UTC) - timedelta(weeks=2)
    sql("INSERT INTO tasks VALUES (:id, 'Old', NULL, true, :then, :then, :then)", id=task_id, then=then)
    before = api.stats()
    assert (before["tasks_completed_this_week"], before["total_completed"]) == (0, 1)
    api.reopen_task(task_id)
    api.undo(api.last_entry_of(task_id))
    assert api.stats() == before
    api.delete_task(task_id)
    api.undo(api.last_entry_of(task_id))
    assert api.stats() == before
    assert sql(MISCOUNTED) == []
