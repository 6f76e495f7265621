"""If-Match on PUT, PATCH and DELETE."""

from collections.abc import Callable
from typing import NamedTuple

import httpx
import pytest

from tests.support.client import Api, Json, data_of, error_of
from tests.support.header_values import MALFORMED_TAGS, MATCHING, NOT_MATCHING, TAGS_RULE, header_lines, tag_of

ORIGIN = "http://localhost:3000"
NOBODYS_TASK = "/tasks/0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"


@pytest.fixture
def task(api: Api) -> Json:
    return api.create_task(title="Buy", description="Milk")


class Write(NamedTuple):
    """A change of a task that takes If-Match: `changes` something, or `repeats` what the task is already."""

    changes: Callable[..., httpx.Response]
    popup: str
    repeats: Callable[..., httpx.Response] | None = None

    def send(self, api: Api, task: Json, *values: str, repeats: bool = False) -> httpx.Response:
        given = header_lines("If-Match", *(value.replace("{}", tag_of(task)) for value in values))
        make = self.repeats if repeats else self.changes
        assert make is not None
        return make(api, f"/tasks/{task['id']}", [*given, (b"Origin", ORIGIN.encode())])


def put(title: str) -> Callable[..., httpx.Response]:
    return lambda api, path, headers: api.put(path, json={"title": title}, headers=headers)


def patch(action: str) -> Callable[..., httpx.Response]:
    return lambda api, path, headers: api.patch(f"{path}/{action}", headers=headers)


WRITES = {
    "edit": Write(put("Sell"), "TASK_UPDATED", put("Buy")),
    "completion": Write(patch("complete"), "TASK_COMPLETED"),
    "reopening": Write(patch("incomplete"), "TASK_INCOMPLETE", patch("incomplete")),
    "deletion": Write(lambda api, path, headers: api.delete(path, headers=headers), "TASK_DELETED"),
}
ONES_THAT_CHANGE = ["edit", "completion", "deletion"]


@pytest.mark.parametrize("given", MATCHING)
@pytest.mark.parametrize("name", ONES_THAT_CHANGE)
def test_a_change_is_made_if_a_tag_matches(api: Api, task: Json, name: str, given: list[str]) -> None:
    response = WRITES[name].send(api, task, *given)
    changed = data_of(response, popup=WRITES[name].popup)
    assert api.list_tasks() == ([changed] if changed else [])
    assert api.history_of(task["id"])[1]["history_id"] == response.headers["History-ID"]


@pytest.mark.parametrize("given", NOT_MATCHING)
@pytest.mark.parametrize("name", WRITES)
def test_a_change_is_refused_if_no_tag_matches(api: Api, task: Json, name: str, given: list[str]) -> None:
    if name == "reopening":
        task = api.complete_task(task["id"])
    before = api.history()
    response = WRITES[name].send(api, task, *given)
    assert error_of(response, 412) == "The task has changed since you read it"
    assert response.headers["ETag"] == tag_of(task)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "History-ID" not in response.headers
    assert (api.list_tasks(), api.history()) == ([task], before)


@pytest.mark.parametrize("name", ["edit", "reopening"])
def test_tags_are_compared_although_nothing_would_change(api: Api, task: Json, name: str) -> None:
    write = WRITES[name]
    for given in MATCHING:
        response = write.send(api, task, *given, repeats=True)
        assert data_of(response, popup=write.popup) == task
        assert "History-ID" not in response.headers
    for given in NOT_MATCHING:
        response = write.send(api, task, *given, repeats=True)
        assert error_of(response, 412) == "The task has changed since you read it"
        assert response.headers["ETag"] == tag_of(task)
    assert len(api.history_of(task["id"])) == 1


def test_tags_are_compared_although_the_task_is_complete_already(api: Api, task: Json) -> None:
    completed = api.complete_task(task["id"])
    for given, status_code in (("{}", 200), ("*", 200), (tag_of(task), 412), ('"other"', 412)):
        assert WRITES["completion"].send(api, completed, given).status_code == status_code
    assert len(api.history_of(task["id"])) == 2


@pytest.mark.parametrize("name", WRITES)
def test_the_tag_before_another_change_no_longer_matches(api: Api, task: Json, name: str) -> None:
    """A lost update: somebody else has changed the task since this caller read it."""
    changed = api.update_task(task["id"], description="Bread")
    response = WRITES[name].send(api, task, "{}")
    assert error_of(response, 412) == "The task has changed since you read it"
    assert response.headers["ETag"] == tag_of(changed)
    assert api.list_tasks() == [changed]
    assert WRITES[name].send(api, task, response.headers["ETag"]).status_code == 200


def test_each_answer_yields_the_tag_for_the_next_change(api: Api, task: Json) -> None:
    for name in ("edit", "completion", "reopening", "edit", "deletion"):
        task = data_of(WRITES[name].send(api, task, "{}"), popup=WRITES[name].popup)
    assert api.list_tasks() == []


@pytest.mark.parametrize("tag", ['"other"', "*", 'W/"other"'])
@pytest.mark.parametrize("name", WRITES)
def test_an_unknown_task_is_not_found_rather_than_changed(api: Api, name: str, tag: str) -> None:
    response = WRITES[name].changes(api, NOBODYS_TASK, {"If-Match": tag})
    assert error_of(response, 404) == "Task not found"
    assert "ETag" not in response.headers


def test_a_deleted_task_is_not_found_by_its_last_tag(api: Api, task: Json) -> None:
    api.delete_task(task["id"])
    for write in WRITES.values():
        assert error_of(write.send(api, task, "{}"), 404) == "Task not found"
    assert len(api.history_of(task["id"])) == 2


@pytest.mark.parametrize("given", MALFORMED_TAGS, ids=lambda given: repr(given)[:24])
def test_malformed_tags_are_refused(api: Api, task: Json, given: list[str]) -> None:
    for write in WRITES.values():
        error = error_of(write.send(api, task, *given), 400)
        assert error == f"If-Match: {TAGS_RULE}"
    assert api.list_tasks() == [task]
    assert len(api.history_of(task["id"])) == 1


@pytest.mark.parametrize("path", [NOBODYS_TASK, "/tasks/42"])
def test_malformed_tags_are_refused_without_a_task(api: Api, path: str) -> None:
    for write in WRITES.values():
        assert error_of(write.changes(api, path, {"If-Match": "x"}), 400)


@pytest.mark.parametrize(
    ("tag", "body", "status_code"),
    [
        ("x", b'{"title": ""}', 400),
        ("x", b"{", 400),
        ("x", b'{"title": "Sell"}', 400),
        ('"other"', b'{"title": ""}', 400),
        ('"other"', b"{}", 400),
        ('"other"', b"{", 400),
        ("*", b"{", 400),
        ('"other"', b" " * 100_000, 413),
        ('"other"', b'{"title": "Sell"}', 412),
    ],
)
def test_a_bad_body_is_refused_whatever_the_tag(api: Api, task: Json, tag: str, body: bytes, status_code: int) -> None:
    headers = {"Content-Type": "application/json", "If-Match": tag}
    error_of(api.put(f"/tasks/{task['id']}", content=body, headers=headers), status_code)
    assert api.list_tasks() == [task]


@pytest.mark.parametrize("tag", ["x", '"other"', ""])
def test_creation_and_reading_ignore_if_match(api: Api, task: Json, tag: str) -> None:
    headers = {"If-Match": tag}
    data_of(api.post("/tasks", json={"title": "x"}, headers=headers), 201, "TASK_CREATED")
    assert data_of(api.get(f"/tasks/{task['id']}", headers=headers)) == task


@pytest.mark.parametrize("tags", [['""'] * 7000, ['"' + "x" * 28_000 + '"'], ['W/""'] * 5000])
def test_very_many_and_very_long_tags_are_compared(api: Api, task: Json, tags: list[str]) -> None:
    assert error_of(WRITES["edit"].send(api, task, ",".join(tags)), 412)
    assert data_of(WRITES["edit"].send(api, task, ",".join([*tags, "{}"])), popup="TASK_UPDATED")["title"] == "Sell"


def test_an_undo_changes_the_tag(api: Api, task: Json) -> None:
    """Although the task is as it was before, it may have been something else in between."""
    api.complete_task(task["id"])
    undone = api.undo(api.last_entry_of(task["id"]))
    assert error_of(WRITES["edit"].send(api, task, "{}"), 412)
    assert data_of(WRITES["edit"].send(api, undone, "{}"), popup="TASK_UPDATED")["title"] == "Sell"
