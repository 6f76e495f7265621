"""GET /history/{history_id}, and the titles in GET /history."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import Api, Json, error_of
from tests.support.databases import OLD_ENTRY, Sql

ITEM = ["history_id", "task_id", "action_type", "description", "timestamp", "task_title"]
NASTY = (
    "".join(map(chr, range(1, 0x180))) + "\u2028\u2029\ufeff\ufffe\uffff</script>\U0001f468\u200d\U0001f469\U0010ffff"
)


def entries_of(api: Api, task: Json) -> list[Json]:
    """All entries of a task, oldest first, each with its change."""
    return [api.entry(item["history_id"]) for item in api.history_of(task["id"])]


def before_and_after(entry: Json) -> dict[str, tuple[Any, Any]]:
    for values in entry["changes"].values():
        assert list(values) == ["before", "after"]
    return {field: (values["before"], values["after"]) for field, values in entry["changes"].items()}


def test_an_entry_is_its_item_in_the_list_and_three_more_keys(api: Api) -> None:
    api.complete_task(api.create_task()["id"])
    for item in api.history()["items"]:
        assert list(item) == ITEM
        entry = api.entry(item["history_id"])
        assert list(entry) == [*ITEM, "changes", "undoes", "undone_by"]
        assert entry.items() >= item.items()
        assert (entry["undoes"], entry["undone_by"]) == (None, None)


def test_an_entry_holds_what_its_change_set(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")
    renamed = api.update_task(task["id"], title="Sell")
    described = api.update_task(task["id"], description="")
    api.update_task(task["id"], title="Buy", description="Bread")
    completed = api.complete_task(task["id"])
    api.reopen_task(task["id"])
    api.delete_task(task["id"])

    assert (renamed["title"], described["description"]) == ("Sell", "")
    done_at = completed["completed_at"]
    assert [before_and_after(entry) for entry in entries_of(api, task)] == [
        {
            "title": (None, "Buy"),
            "description": (None, "Milk"),
            "is_completed": (None, False),
            "completed_at": (None, None),
            "created_at": (None, task["created_at"]),
        },
        {"title": ("Buy", "Sell")},
        {"description": ("Milk", "")},
        {"title": ("Sell", "Buy"), "description": ("", "Bread")},
        {"is_completed": (False, True), "completed_at": (None, done_at)},
        {"is_completed": (True, False), "completed_at": (done_at, None)},
        {
            "title": ("Buy", None),
            "description": ("Bread", None),
            "is_completed": (False, None),
            "completed_at": (None, None),
            "created_at": (task["created_at"], None),
        },
    ]


def test_a_field_that_is_set_to_its_own_value_is_no_part_of_the_change(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")
    api.update_task(task["id"], title="Buy", description="Bread")
    assert before_and_after(api.last_entry_of(task["id"])) == {"description": ("Milk", "Bread")}


def test_a_description_that_was_null_was_null_before(api: Api) -> None:
    task = api.create_task()
    api.update_task(task["id"], description="")
    assert before_and_after(api.last_entry_of(task["id"])) == {"description": (None, "")}


def test_deletion_and_restoration_hold_the_whole_complete_task(api: Api) -> None:
    task = api.create_task(title="Buy", description="Milk")
    completed = api.complete_task(task["id"])
    api.delete_task(task["id"])
    api.undo(api.last_entry_of(task["id"]))

    fields = ["title", "description", "is_completed", "completed_at", "created_at"]
    *_, deletion, restoration = entries_of(api, task)
    assert list(deletion["changes"]) == list(restoration["changes"]) == fields
    assert before_and_after(deletion) == {field: (completed[field], None) for field in fields}
    assert before_and_after(restoration) == {field: (None, completed[field]) for field in fields}


@pytest.mark.parametrize("title", [NASTY[:255], NASTY[-255:], "'", '"', "\\", "%s %(x)s :x", "{}", "null"])
def test_any_text_is_kept_exactly_and_comes_back_exactly(api: Api, title: str) -> None:
    task = api.create_task(title=title, description=NASTY)
    other = api.update_task(task["id"], title="x", description="x")

    entry = api.last_entry_of(task["id"])
    assert before_and_after(entry) == {"title": (title, "x"), "description": (NASTY, "x")}
    assert entry["task_title"] == "x"
    edited_back = api.undo(entry)
    assert edited_back == task | {"updated_at": edited_back["updated_at"]}
    assert edited_back["updated_at"] > other["updated_at"]
    api.delete_task(task["id"])
    assert api.last_entry_of(task["id"])["task_title"] == title
    restored = api.undo(api.last_entry_of(task["id"]))
    assert restored == task | {"updated_at": restored["updated_at"]}
    assert api.last_entry_of(task["id"])["description"] == f"Task restored: '{title}'"


def test_each_item_names_its_task_as_the_change_left_it(api: Api) -> None:
    task = api.create_task(title="Buy")
    api.complete_task(task["id"])
    api.update_task(task["id"], title="Sell")
    api.reopen_task(task["id"])
    api.update_task(task["id"], description="Milk")
    api.delete_task(task["id"])
    api.undo(api.last_entry_of(task["id"]))

    assert [(item["action_type"], item["task_title"]) for item in api.history_of(task["id"])] == [
        ("CREATED", "Buy"),
        ("COMPLETED", "Buy"),
        ("UPDATED", "Sell"),
        ("INCOMPLETED", "Sell"),
        ("UPDATED", "Sell"),
        ("DELETED", "Sell"),
        ("CREATED", "Sell"),
    ]


@pytest.mark.parametrize("action", ["CREATED", "UPDATED", "COMPLETED", "INCOMPLETED", "DELETED"])
def test_an_entry_of_an_older_version_has_no_title_and_no_change(api: Api, sql: Sql, action: str) -> None:
    history_id, task_id = str(uuid4()), str(uuid4())
    sql(OLD_ENTRY, history_id=history_id, task_id=task_id, action=action)

    item = {
        "history_id": history_id,
        "task_id": task_id,
        "action_type": action,
        "description": "Something happened",
        "timestamp": "2020-01-01T00:00:00.000000Z",
        "task_title": None,
    }
    assert api.history()["items"] == [item]
    assert api.entry(history_id) == item | {"changes": None, "undoes": None, "undone_by": None}


def test_the_entries_of_a_deleted_task_stay_as_they_were(api: Api) -> None:
    task = api.create_task()
    api.complete_task(task["id"])
    before = entries_of(api, task)

    api.delete_task(task["id"])

    assert entries_of(api, task)[:-1] == before


def test_an_entry_has_both_prefixes_and_answers_head(api: Api) -> None:
    api.create_task()
    path = f"/history/{api.history()['items'][0]['history_id']}"
    answer = api.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    for same in (f"{path}/", f"/api/v1{path}", f"{path}?unknown=1", path.upper().replace("HISTORY", "history")):
        assert api.get(same).text == answer.text
    head = api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(answer.content))


def test_an_unknown_entry_is_not_found(api: Api) -> None:
    task = api.create_task()
    for history_id in (str(uuid4()), task["id"]):
        assert error_of(api.get(f"/history/{history_id}"), 404) == "History entry not found"


@pytest.mark.parametrize("history_id", ["42", "%00", "x" * 36, "{0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11}"])
def test_a_malformed_id_is_refused(api: Api, history_id: str) -> None:
    assert error_of(api.get(f"/history/{history_id}"), 400).startswith("history_id: must be a UUID")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_an_entry_can_only_be_read(api: Api, method: str) -> None:
    api.create_task()
    [item] = api.history()["items"]
    response = api.request(method, f"/history/{item['history_id']}")
    assert error_of(response, 405) == "The method is not allowed on this path"
    assert response.headers["Allow"] == "GET, HEAD"
    assert api.history()["items"] == [item]
