"""POST /history/{history_id}/undo: every kind of entry, after everything that may have happened since."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.support.client import UNDO_POPUPS, Api, Json, data_of, error_of


class Deed(NamedTuple):
    """A change whose entry is undone: the deeds before it, itself, and what its undo writes."""

    before: tuple[str, ...]
    change: str
    undo_action: str
    undo_description: str


# Each changes the task `task_id`; `entry` is the one that is to be undone. All of these texts differ from "Buy" and
# "Milk", the texts of a new task.
STEPS: dict[str, Callable[[Api, str, Json], Any]] = {
    "rename": lambda api, task_id, _: api.update_task(task_id, title="Sell"),
    "describe": lambda api, task_id, _: api.update_task(task_id, description="Bread"),
    "edit both": lambda api, task_id, _: api.update_task(task_id, title="Sell", description="Bread"),
    "rename otherwise": lambda api, task_id, _: api.update_task(task_id, title="Lend"),
    "describe otherwise": lambda api, task_id, _: api.update_task(task_id, description=""),
    "rename as at first": lambda api, task_id, _: api.update_task(task_id, title="Buy"),
    "describe as at first": lambda api, task_id, _: api.update_task(task_id, description="Milk"),
    "complete": lambda api, task_id, _: api.complete_task(task_id),
    "reopen": lambda api, task_id, _: api.reopen_task(task_id),
    "delete": lambda api, task_id, _: api.delete_task(task_id),
    "undo": lambda api, _, entry: api.undo(entry),
    "undo the last": lambda api, task_id, _: api.undo(api.last_entry_of(task_id)),
}

DEEDS = {
    "creation": Deed((), "create", "DELETED", "Task deleted: 'Buy' (undo)"),
    "new title": Deed((), "rename", "UPDATED", "Title changed from 'Sell' to 'Buy' (undo)"),
    "new description": Deed((), "describe", "UPDATED", "Description changed (undo)"),
    "new title and description": Deed(
        (), "edit both", "UPDATED", "Title changed from 'Sell' to 'Buy'; description changed (undo)"
    ),
    "completion": Deed((), "complete", "INCOMPLETED", "Task marked as incomplete (undo)"),
    "reopening": Deed(("complete",), "reopen", "COMPLETED", "Task marked as completed (undo)"),
    "deletion": Deed((), "delete", "CREATED", "Task restored: 'Buy'"),
    "deletion of a complete task": Deed(("complete",), "delete", "CREATED", "Task restored: 'Buy'"),
}

# The answers: the undo is made, refused with 409, or was made before. And the task afterwards: its title, its
# description and whether it is complete; None if there is no task.
MADE, REFUSED, REPEATED = "made", "refused", "repeated"
GONE = None
NEW, NEW_COMPLETE = ("Buy", "Milk", False), ("Buy", "Milk", True)
SOLD, SOLD_COMPLETE = ("Sell", "Milk", False), ("Sell", "Milk", True)
LENT, LENT_COMPLETE = ("Lend", "Milk", False), ("Lend", "Milk", True)
BREAD, BREAD_COMPLETE = ("Buy", "Bread", False), ("Buy", "Bread", True)
SOLD_BREAD, SOLD_EMPTY, LENT_BREAD = ("Sell", "Bread", False), ("Sell", "", False), ("Lend", "Bread", False)
EMPTY, EMPTY_COMPLETE = ("Buy", "", False), ("Buy", "", True)

State = tuple[str, str, bool] | None
# For each deed: what happened since, the answer to the undo, and the task afterwards.
TABLE: dict[str, list[tuple[tuple[str, ...], str, State]]] = {
    "creation": [
        ((), MADE, GONE),
        (("rename",), REFUSED, SOLD),
        (("rename", "rename as at first"), MADE, GONE),
        (("rename", "undo the last"), MADE, GONE),
        (("describe",), REFUSED, BREAD),
        (("describe", "describe as at first"), MADE, GONE),
        (("rename as at first",), MADE, GONE),
        (("complete",), REFUSED, NEW_COMPLETE),
        (("complete", "reopen"), MADE, GONE),
        (("complete", "undo the last"), MADE, GONE),
        (("delete",), REFUSED, GONE),
        (("delete", "undo the last"), MADE, GONE),
        (("rename", "delete", "undo the last"), REFUSED, SOLD),
        (("complete", "delete", "undo the last"), REFUSED, NEW_COMPLETE),
        (("undo",), REPEATED, GONE),
        (("undo", "undo"), REPEATED, GONE),
        (("undo", "undo the last"), REPEATED, NEW),
        (("undo", "undo the last", "rename"), REPEATED, SOLD),
        (("undo", "undo the last", "undo the last"), REPEATED, GONE),
    ],
    "new title": [
        ((), MADE, NEW),
        (("rename otherwise",), REFUSED, LENT),
        (("rename otherwise", "rename"), MADE, NEW),
        (("rename otherwise", "undo the last"), MADE, NEW),
        (("rename as at first",), REFUSED, NEW),
        (("describe",), MADE, BREAD),
        (("complete",), MADE, NEW_COMPLETE),
        (("describe", "complete"), MADE, BREAD_COMPLETE),
        (("complete", "reopen"), MADE, NEW),
        (("delete",), REFUSED, GONE),
        (("delete", "undo the last"), MADE, NEW),
        (("complete", "delete", "undo the last"), MADE, NEW_COMPLETE),
        (("undo",), REPEATED, NEW),
        (("undo", "rename"), REPEATED, SOLD),
        (("undo", "undo the last"), REPEATED, SOLD),
        (("undo", "undo the last", "undo the last"), REPEATED, NEW),
        (("undo", "complete"), REPEATED, NEW_COMPLETE),
        (("undo", "delete"), REPEATED, GONE),
    ],
    "new description": [
        ((), MADE, NEW),
        (("describe otherwise",), REFUSED, EMPTY),
        (("describe otherwise", "describe"), MADE, NEW),
        (("describe as at first",), REFUSED, NEW),
        (("rename",), MADE, SOLD),
        (("complete",), MADE, NEW_COMPLETE),
        (("complete", "reopen", "rename otherwise"), MADE, LENT),
        (("delete",), REFUSED, GONE),
        (("delete", "undo the last"), MADE, NEW),
        (("undo",), REPEATED, NEW),
        (("undo", "undo the last"), REPEATED, BREAD),
    ],
    "new title and description": [
        ((), MADE, NEW),
        (("rename otherwise",), REFUSED, LENT_BREAD),
        (("describe otherwise",), REFUSED, SOLD_EMPTY),
        (("rename otherwise", "describe otherwise", "edit both"), MADE, NEW),
        (("complete",), MADE, NEW_COMPLETE),
        (("delete",), REFUSED, GONE),
        (("undo",), REPEATED, NEW),
        (("undo", "undo the last"), REPEATED, SOLD_BREAD),
    ],
    "completion": [
        ((), MADE, NEW),
        (("complete",), MADE, NEW),
        (("rename", "describe otherwise"), MADE, SOLD_EMPTY),
        (("reopen",), REFUSED, NEW),
        # A completion of another moment.
        (("reopen", "complete"), REFUSED, NEW_COMPLETE),
        (("reopen", "undo the last"), MADE, NEW),
        (("delete",), REFUSED, GONE),
        (("delete", "undo the last"), MADE, NEW),
        (("reopen", "delete", "undo the last"), REFUSED, NEW),
        (("undo",), REPEATED, NEW),
        (("undo", "complete"), REPEATED, NEW_COMPLETE),
        (("undo", "undo the last"), REPEATED, NEW_COMPLETE),
    ],
    "reopening": [
        ((), MADE, NEW_COMPLETE),
        (("reopen",), MADE, NEW_COMPLETE),
        (("rename otherwise",), MADE, LENT_COMPLETE),
        (("describe otherwise",), MADE, EMPTY_COMPLETE),
        (("complete",), REFUSED, NEW_COMPLETE),
        (("complete", "reopen"), MADE, NEW_COMPLETE),
        (("complete", "undo the last"), MADE, NEW_COMPLETE),
        (("delete",), REFUSED, GONE),
        (("delete", "undo the last"), MADE, NEW_COMPLETE),
        (("undo",), REPEATED, NEW_COMPLETE),
        (("undo", "reopen"), REPEATED, NEW),
        (("undo", "undo the last"), REPEATED, NEW),
    ],
    "deletion": [
        ((), MADE, NEW),
        (("undo",), REPEATED, NEW),
        (("undo", "rename"), REPEATED, SOLD),
        (("undo", "complete"), REPEATED, NEW_COMPLETE),
        (("undo", "undo the last"), REPEATED, GONE),
        (("undo", "delete"), REPEATED, GONE),
        (("undo", "delete", "undo the last"), REPEATED, NEW),
    ],
    "deletion of a complete task": [
        ((), MADE, NEW_COMPLETE),
        (("undo",), REPEATED, NEW_COMPLETE),
        (("undo", "reopen"), REPEATED, NEW),
        (("undo", "rename", "delete", "undo the last"), REPEATED, SOLD_COMPLETE),
    ],
}
ROWS = [(deed, *row) for deed, rows in TABLE.items() for row in rows]


def do(api: Api, name: str) -> tuple[Json, Json]:
    """Do a deed to a new task; return the task before it, and its entry."""
    task = api.create_task(title="Buy", description="Milk")
    deed = DEEDS[name]
    for step in deed.before:
        task = STEPS[step](api, task["id"], None)
    if deed.change != "create":
        STEPS[deed.change](api, task["id"], None)
    return task, api.last_entry_of(task["id"])


def find(api: Api, task_id: str) -> Json:
    response = api.get(f"/tasks/{task_id}")
    return None if response.status_code == 404 else data_of(response)


def state_of(task: Json) -> State:
    return None if task is None else (task["title"], task["description"], task["is_completed"])


@pytest.mark.parametrize(("deed", "since", "answer", "after"), ROWS)
def test_an_entry_can_be_undone_while_the_task_has_its_values(
    api: Api, deed: str, since: tuple[str, ...], answer: str, after: State
) -> None:
    task, entry = do(api, deed)
    for step in since:
        STEPS[step](api, task["id"], entry)
    before, entries = find(api, task["id"]), api.history_of(task["id"])

    response = api.post(f"/history/{entry['history_id']}/undo")

    now = find(api, task["id"])
    assert state_of(now) == after
    if answer == REFUSED:
        assert error_of(response, 409) == "The task has changed since"
    else:
        assert data_of(response, popup=UNDO_POPUPS[entry["action_type"]]) == now
    if answer == MADE:
        assert_reversed(entry, task, before, now)
        assert_recorded(api, response.headers["History-ID"], entry, DEEDS[deed], now)
        assert api.history_of(task["id"])[:-1] == entries
    else:
        assert "History-ID" not in response.headers
        assert (now, api.history_of(task["id"])) == (before, entries)


def assert_reversed(entry: Json, task: Json, before: Json, now: Json) -> None:
    """The fields that the entry changed are as before it, the others as they were a moment ago."""
    if entry["action_type"] == "CREATED":
        assert now is None
        return
    fields = ["title", "description", "is_completed", "completed_at", "created_at"]
    expected = {field: task[field] if field in entry["changes"] else before[field] for field in fields}
    assert now == expected | {"id": task["id"], "updated_at": now["updated_at"]}
    assert now["updated_at"] > (before or entry | {"updated_at": entry["timestamp"]})["updated_at"]


def assert_recorded(api: Api, history_id: str, entry: Json, deed: Deed, now: Json) -> None:
    """The undo has one entry, with the reverse change, and the two name each other."""
    made = api.last_entry_of(entry["task_id"])
    assert made["history_id"] == history_id
    assert (made["action_type"], made["description"]) == (deed.undo_action, deed.undo_description)
    assert made["task_title"] == ("Buy" if now is None else now["title"])
    assert list(made["changes"]) == list(entry["changes"])
    assert made["changes"] == {
        field: {"before": values["after"], "after": values["before"]} for field, values in entry["changes"].items()
    }
    assert (made["undoes"], made["undone_by"]) == (entry["history_id"], None)
    assert made["timestamp"] == now["updated_at"] if now else made["timestamp"] > entry["timestamp"]
    assert api.entry(entry["history_id"]) == entry | {"undone_by": history_id}


def test_the_table_has_every_kind_of_entry() -> None:
    assert set(TABLE) == set(DEEDS)
    assert {deed.undo_action for deed in DEEDS.values()} == set(UNDO_POPUPS)
