"""Idempotency-Key on PUT, PATCH and DELETE."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.client import Api, Json, data_of, error_of
from tests.support.header_values import KEY_RULE, MALFORMED_KEYS, is_replay, keyed

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
# A task that there is not.
NOBODYS_ID = "79f595c0-e210-473d-9aa2-40950ea36da8"
TASK = {"title": "Buy", "description": "Milk"}


def path_of(task: Json) -> str:
    return f"/tasks/{task['id']}"


CHANGES: dict[str, tuple[Callable[..., httpx.Response], str, Callable[[Api, str], Any]]] = {
    "edit": (
        lambda api, path, **more: api.put(path, json={"title": "Sell"}, **more),
        "TASK_UPDATED",
        lambda api, task_id: api.update_task(task_id, title="Buy"),
    ),
    "completion": (
        lambda api, path, **more: api.patch(f"{path}/complete", **more),
        "TASK_COMPLETED",
        lambda api, task_id: api.reopen_task(task_id),
    ),
    "reopening": (
        lambda api, path, **more: api.patch(f"{path}/incomplete", **more),
        "TASK_INCOMPLETE",
        lambda api, task_id: api.complete_task(task_id),
    ),
    "deletion": (
        lambda api, path, **more: api.delete(path, **more),
        "TASK_DELETED",
        lambda api, task_id: api.undo(api.last_entry_of(task_id)),
    ),
}


def prepared(api: Api, name: str) -> Json:
    """A task that the change of this name changes."""
    task = api.create_task(**TASK)
    return api.complete_task(task["id"]) if name == "reopening" else task


@pytest.mark.parametrize("name", CHANGES)
def test_a_repeated_change_gives_the_answer_of_success_and_writes_nothing(api: Api, name: str) -> None:
    change, popup, _ = CHANGES[name]
    task = prepared(api, name)
    first = change(api, path_of(task), headers=keyed(KEY))
    before = api.list_tasks(), api.history()
    assert not is_replay(first)
    for key in (KEY, f'"{KEY}"'):
        again = change(api, path_of(task), headers=keyed(key))
        assert data_of(again, popup=popup) == data_of(first, popup=popup)
        assert is_replay(again)
        assert again.headers["History-ID"] == first.headers["History-ID"]
    assert (api.list_tasks(), api.history()) == before
    assert api.last_entry_of(task["id"])["history_id"] == first.headers["History-ID"]


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("by_undo", [False, True])
def test_a_repeated_change_is_not_made_again_although_it_was_reversed(api: Api, name: str, by_undo: bool) -> None:
    change, popup, reverse = CHANGES[name]
    task = prepared(api, name)
    first = change(api, path_of(task), headers=keyed(KEY))
    if by_undo:
        api.undo(api.last_entry_of(task["id"]))
    else:
        reverse(api, task["id"])
    [now], history = api.list_tasks(), api.history()

    again = change(api, path_of(task), headers=keyed(KEY))

    assert data_of(again, popup=popup) == (None if name == "deletion" else now)
    assert is_replay(again)
    assert again.headers["History-ID"] == first.headers["History-ID"]
    assert (api.list_tasks(), api.history()) == ([now], history)
    # Without the key, or with another one, it is made again.
    assert not is_replay(change(api, path_of(task), headers=keyed("other")))
    assert len(api.history_of(task["id"])) == history["pagination"]["total_count"] + 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_repeated_change_succeeds_although_its_tag_is_old_by_now(api: Api, name: str) -> None:
    change, popup, _ = CHANGES[name]
    task = prepared(api, name)
    headers = {"If-Match": f'"{task["updated_at"]}"', "Idempotency-Key": KEY}
    first = change(api, path_of(task), headers=headers)
    for _ in range(2):
        again = change(api, path_of(task), headers=headers)
        assert data_of(again, popup=popup) == data_of(first, popup=popup)
        assert is_replay(again)
    # Without the key, it is another request.
    del headers["Idempotency-Key"]
    assert change(api, path_of(task), headers=headers).status_code == (404 if name == "deletion" else 412)


@pytest.mark.parametrize("name", ["edit", "completion", "reopening"])
def test_a_change_of_a_deleted_task_is_not_found_although_it_was_made(api: Api, name: str) -> None:
    """There is no task to answer with."""
    change, _, _ = CHANGES[name]
    task = prepared(api, name)
    change(api, path_of(task), headers=keyed(KEY))
    api.delete_task(task["id"])
    assert error_of(change(api, path_of(task), headers=keyed(KEY)), 404) == "Task not found"


def test_another_body_with_the_same_key_is_a_change_of_its_own(api: Api) -> None:
    path = path_of(api.create_task(**TASK))
    bodies: list[Json] = [{"title": "Sell"}, {"title": "Lend"}, {"description": "Sell"}, {"description": ""}]
    answers = [api.put(path, json=body, headers=keyed(KEY)) for body in bodies]
    assert not any(map(is_replay, answers))
    assert len({answer.headers["History-ID"] for answer in answers}) == 4
    now = api.get(path).json()["data"]
    for body in bodies:
        again = api.put(path, json=body, headers=keyed(KEY))
        assert data_of(again, popup="TASK_UPDATED") == now
        assert is_replay(again)


def test_another_tag_with_the_same_key_is_a_change_of_its_own(api: Api) -> None:
    """Somebody who has seen the change of somebody else saves again, with the key of the form."""
    task = api.create_task(**TASK)
    form: Json = {"title": "Mine"}
    api.put(path_of(task), json=form, headers={"If-Match": f'"{task["updated_at"]}"', "Idempotency-Key": KEY})
    theirs = api.update_task(task["id"], title="Theirs")

    again = api.put(path_of(task), json=form, headers={"If-Match": f'"{theirs["updated_at"]}"', "Idempotency-Key": KEY})

    assert data_of(again, popup="TASK_UPDATED")["title"] == "Mine"
    assert not is_replay(again)


def test_one_key_on_several_operations_and_tasks_is_several_keys(api: Api) -> None:
    created = api.post("/tasks", json=TASK, headers=keyed(KEY))
    tasks = [data_of(created, 201, "TASK_CREATED"), api.create_task(**TASK)]
    answers = [
        CHANGES[name][0](api, path_of(task), headers=keyed(KEY))
        for task in tasks
        for name in ("edit", "completion", "reopening", "deletion")
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert not any(map(is_replay, answers))
    assert len({answer.headers["History-ID"] for answer in answers}) == 8


@pytest.mark.parametrize("name", ["edit", "completion", "reopening"])
def test_a_change_of_nothing_does_not_use_its_key_up(api: Api, name: str) -> None:
    change, popup, reverse = CHANGES[name]
    task = prepared(api, name)
    as_it_will_be = data_of(change(api, path_of(task)), popup=popup)
    nothing = change(api, path_of(task), headers=keyed(KEY))
    assert data_of(nothing, popup=popup) == as_it_will_be
    assert "History-ID" not in nothing.headers
    assert not is_replay(nothing)

    reverse(api, task["id"])
    made = change(api, path_of(task), headers=keyed(KEY))

    assert not is_replay(made)
    assert api.last_entry_of(task["id"])["history_id"] == made.headers["History-ID"]


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_was_refused_does_not_use_its_key_up(api: Api, name: str) -> None:
    change, popup, _ = CHANGES[name]
    task = prepared(api, name)
    headers = {"If-Match": '"other"', "Idempotency-Key": KEY}
    refused = change(api, path_of(task), headers=headers)
    assert error_of(refused, 412) == "The task has changed since you read it"
    assert refused.headers["ETag"] == f'"{task["updated_at"]}"'
    made = change(api, path_of(task), headers={**headers, "If-Match": refused.headers["ETag"]})
    data_of(made, popup=popup)
    assert not is_replay(made)


@pytest.mark.parametrize("key", MALFORMED_KEYS, ids=lambda key: repr(key)[:24])
def test_a_malformed_key_is_refused(api: Api, key: list[str | bytes]) -> None:
    task = api.create_task(**TASK)
    for change, _, _ in CHANGES.values():
        assert error_of(change(api, path_of(task), headers=keyed(*key)), 400) == KEY_RULE
    assert api.list_tasks() == [task]
    assert len(api.history()["items"]) == 1


@pytest.mark.parametrize("name", CHANGES)
def test_an_unknown_task_is_not_found_with_a_key(api: Api, name: str) -> None:
    change, _, _ = CHANGES[name]
    assert error_of(change(api, f"/tasks/{NOBODYS_ID}", headers=keyed(KEY)), 404) == "Task not found"
    assert api.history()["items"] == []


@pytest.mark.parametrize("key", [KEY, "", "a b", '"'])
def test_reading_and_undo_ignore_a_key(api: Api, key: str) -> None:
    task = api.create_task()
    [entry] = api.history()["items"]
    headers = keyed(key)
    for path in ("/tasks", path_of(task), "/history", f"/history/{entry['history_id']}", "/stats/weekly"):
        response = api.get(path, headers=headers)
        assert response.status_code == 200
        assert not is_replay(response)
    for _ in range(2):
        undone = api.post(f"/history/{entry['history_id']}/undo", headers=headers)
        assert data_of(undone, popup="TASK_DELETED") is None
        assert not is_replay(undone)
