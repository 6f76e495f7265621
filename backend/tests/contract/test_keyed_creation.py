"""Idempotency-Key on POST /tasks."""

from collections.abc import Callable
from typing import Any
from uuid import RFC_4122, UUID

import httpx
import pytest

from tests.support.client import Api, Json, data_of, error_of
from tests.support.header_values import KEY_RULE, KEYS, MALFORMED_KEYS, is_replay, keyed

ORIGIN = "http://localhost:3000"
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
# The task that it creates.
TASK_ID = "79f595c0-e210-473d-9aa2-40950ea36da8"
OTHER_TASK = "Idempotency-Key: was used for another task"
TASK = {"title": "Buy", "description": "Milk"}


def create(api: Api, *key: str | bytes, body: Any = None) -> httpx.Response:
    return api.post("/tasks", json=TASK if body is None else body, headers=keyed(*key or [KEY]))


def path_of(task: Json) -> str:
    return f"/tasks/{task['id']}"


def test_a_repeated_creation_gives_the_first_answer_and_writes_nothing(api: Api) -> None:
    first = create(api)
    before = api.history()
    for _ in range(3):
        again = create(api)
        assert (again.status_code, again.content) == (201, first.content)
        assert is_replay(again)
        assert again.headers["History-ID"] == first.headers["History-ID"]
    assert not is_replay(first)
    task = data_of(first, 201, "TASK_CREATED")
    assert (api.list_tasks(), api.history()) == ([task], before)
    assert api.history_of(task["id"])[0]["history_id"] == first.headers["History-ID"]


def undo_the_creation(api: Api, task: Json) -> None:
    api.undo(api.history_of(task["id"])[0])


def undo_the_last(api: Api, task: Json) -> None:
    api.undo(api.last_entry_of(task["id"]))


SINCE: dict[str, list[Callable[[Api, Json], Any]]] = {
    "edit": [lambda api, task: api.update_task(task["id"], title="Sell", description="")],
    "completion": [lambda api, task: api.complete_task(task["id"])],
    "reopening": [lambda api, task: api.complete_task(task["id"]), lambda api, task: api.reopen_task(task["id"])],
    "deletion": [lambda api, task: api.delete_task(task["id"])],
    "restoration": [lambda api, task: api.delete_task(task["id"]), undo_the_last],
    "undo": [undo_the_creation],
    "undo and redo": [undo_the_creation, undo_the_last],
}


@pytest.mark.parametrize("since", SINCE)
def test_whatever_happened_since_the_answer_is_that_of_the_creation(api: Api, since: str) -> None:
    first = create(api)
    task = data_of(first, 201, "TASK_CREATED")
    for step in SINCE[since]:
        step(api, task)
    before = api.list_tasks(), api.history()

    again = create(api)

    assert (again.status_code, again.content) == (201, first.content)
    assert is_replay(again)
    assert (api.list_tasks(), api.history()) == before


@pytest.mark.parametrize("path", ["/tasks/", "/api/v1/tasks", "/tasks?x=1"])
def test_a_key_is_the_same_on_every_path_of_the_operation(api: Api, path: str) -> None:
    first = create(api)
    assert api.post(path, json=TASK, headers=keyed(KEY)).content == first.content


def test_two_keys_create_two_tasks_and_no_key_always_another(api: Api) -> None:
    ids = [create(api, key).json()["data"]["id"] for key in ("a", "b", "A", "a'", "aa")]
    ids += [api.create_task(**TASK)["id"] for _ in range(2)]
    assert len(set(ids)) == 7


def test_a_key_yields_the_same_ids_wherever_it_is_used(api: Api) -> None:
    """The ids are those of any other database: they are a hash of the key."""
    response = create(api)
    ids = response.json()["data"]["id"], response.headers["History-ID"]
    assert ids == (TASK_ID, "4df3835a-366f-437e-87c7-1de0b20ace49")
    for each in map(UUID, ids):
        assert (each.version, each.variant) == (4, RFC_4122)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_any_visible_ascii(api: Api, key: str) -> None:
    first, again = create(api, key), create(api, key)
    task = data_of(first, 201, "TASK_CREATED")
    assert again.content == first.content
    assert [is_replay(response) for response in (first, again)] == [False, True]
    assert api.list_tasks() == [task]


@pytest.mark.parametrize(
    ("bare", "quoted"), [("a", '"a"'), ("x" * 255, '"' + "x" * 255 + '"'), ('a"b\\c', '"a\\"b\\\\c"'), ("\\", '"\\\\"')]
)
def test_a_bare_key_and_a_quoted_one_are_one_key(api: Api, bare: str, quoted: str) -> None:
    first, again = create(api, bare), create(api, quoted)
    assert again.content == first.content
    assert is_replay(again)


@pytest.mark.parametrize("key", MALFORMED_KEYS, ids=lambda key: repr(key)[:24])
def test_a_malformed_key_is_refused(api: Api, key: list[str | bytes]) -> None:
    assert error_of(create(api, *key), 400) == KEY_RULE
    assert api.list_tasks() == api.history()["items"] == []


@pytest.mark.parametrize("key", [b"a\x01b", b"\x7f", b"a\x1b"])
def test_a_control_character_is_refused(api: Api, key: bytes) -> None:
    assert error_of(create(api, key), 400) in (KEY_RULE, "The request is not valid HTTP")
    assert api.list_tasks() == []


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ({"title": "Buy"}, {"title": "Sell"}),
        ({"title": "Buy"}, {"title": "buy"}),
        ({"title": "Buy"}, {"title": "Buy "}),
        ({"title": "Buy"}, {"title": "Buy", "description": ""}),
        ({"title": "Buy", "description": None}, {"title": "Buy", "description": ""}),
        ({"title": "Buy", "description": ""}, {"title": "Buy"}),
        ({"title": "Buy", "description": ""}, {"title": "Buy", "description": None}),
        ({"title": "Buy", "description": "Milk"}, {"title": "Buy"}),
        ({"title": "Buy", "description": "Milk"}, {"title": "Milk", "description": "Buy"}),
        ({"title": "é"}, {"title": "e\u0301"}),
    ],
)
def test_another_body_with_the_same_key_is_refused(api: Api, first: Json, other: Json) -> None:
    task = data_of(create(api, body=first), 201, "TASK_CREATED")
    before = api.history()
    response = api.post("/tasks", json=other, headers={"Idempotency-Key": KEY, "Origin": ORIGIN})
    assert error_of(response, 422) == OTHER_TASK
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "History-ID" not in response.headers
    assert not is_replay(response)
    assert (api.list_tasks(), api.history()) == ([task], before)
    assert data_of(create(api, body=first), 201, "TASK_CREATED") == task


@pytest.mark.parametrize(
    ("first", "same"),
    [
        ({"title": "Buy"}, {"title": "Buy", "description": None}),
        ({"title": "Buy", "description": None}, {"title": "Buy"}),
        ({"title": "Buy", "description": "Milk"}, {"description": "Milk", "title": "Buy"}),
        ({"title": "é\U0001f6d2\u2028'\"\\"}, {"title": "é\U0001f6d2\u2028'\"\\"}),
    ],
)
def test_a_body_of_the_same_meaning_is_the_same(api: Api, first: Json, same: Json) -> None:
    answer = create(api, body=first)
    assert create(api, body=same).content == answer.content


def test_the_body_is_compared_with_that_of_the_creation_and_not_with_the_task(api: Api) -> None:
    first = create(api)
    api.update_task(first.json()["data"]["id"], title="Sell")
    assert error_of(create(api, body={**TASK, "title": "Sell"}), 422) == OTHER_TASK
    assert create(api).content == first.content


@pytest.mark.parametrize(
    ("body", "status_code"), [({"title": ""}, 400), ({"titel": "x"}, 400), ({"title": "x" * 70_000}, 413)]
)
def test_a_refused_creation_does_not_use_its_key_up(api: Api, body: Json, status_code: int) -> None:
    error_of(create(api, body=body), status_code)
    first = create(api)
    assert not is_replay(first)
    assert api.list_tasks() == [data_of(first, 201, "TASK_CREATED")]
    error_of(create(api, body=body), status_code)


def test_any_text_comes_back_byte_for_byte(api: Api) -> None:
    text = "".join(map(chr, range(1, 0x180))) + "\u2028\u2029\ufeff\uffff</script>\U0001f468\u200d\U0001f469\U0010ffff"
    for number, title in enumerate((text[:255], text[-255:])):
        body = {"title": title, "description": text}
        first = create(api, str(number), body=body)
        api.delete_task(first.json()["data"]["id"])
        assert create(api, str(number), body=body).content == first.content
