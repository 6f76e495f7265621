"""Undo, If-Match and Idempotency-Key, when callers of two services race for the same task or entry."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import httpx
import pytest
from sqlalchemy import URL

from main import create_app
from tests.support.audit import MISCOUNTED
from tests.support.client import Api
from tests.support.databases import Sql, environment_of, settings_for
from tests.support.header_values import tag_of
from tests.support.live_server import serve
from tests.support.races import CALLERS, assert_legal, race
from tests.support.service import MAIN, running


@pytest.fixture
def other_api(database_url: URL) -> Iterator[Api]:
    """Another service on the same database. Inside one, callers of one task wait for each other."""
    with serve(create_app(settings_for(database_url))) as (_, address), Api(address) as other:
        yield other


def from_both(api: Api, other_api: Api, call: Callable[[Api], httpx.Response]) -> list[httpx.Response]:
    """Race many callers, half of them at each service."""
    return race([partial(call, each) for each in (api, other_api) for _ in range(CALLERS // 2)])


DEEDS: dict[str, Callable[[Api, str], object]] = {
    "CREATED": lambda api, task_id: None,
    "UPDATED": lambda api, task_id: api.update_task(task_id, title="Sell"),
    "COMPLETED": lambda api, task_id: api.complete_task(task_id),
    "INCOMPLETED": lambda api, task_id: (api.complete_task(task_id), api.reopen_task(task_id)),
    "DELETED": lambda api, task_id: api.delete_task(task_id),
}


@pytest.mark.parametrize("action", DEEDS)
def test_an_entry_that_many_undo_at_once_is_undone_once(api: Api, other_api: Api, sql: Sql, action: str) -> None:
    task = api.create_task()
    DEEDS[action](api, task["id"])
    before = api.history_of(task["id"])
    path = f"/history/{before[-1]['history_id']}/undo"

    responses = from_both(api, other_api, lambda each: each.post(path))

    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    [named] = [response.headers["History-ID"] for response in responses if "History-ID" in response.headers]
    *kept, undo = api.history_of(task["id"])
    assert (kept, undo["history_id"]) == (before, named)
    assert_legal([*kept, undo])
    assert api.entry(before[-1]["history_id"])["undone_by"] == named
    assert sql(MISCOUNTED) == []


RIVALS: dict[str, Callable[[Api, str], httpx.Response]] = {
    "edit": lambda api, path: api.put(path, json={"title": "Lend"}),
    "another field": lambda api, path: api.put(path, json={"description": "Bread"}),
    "completion": lambda api, path: api.patch(f"{path}/complete"),
    "reopening": lambda api, path: api.patch(f"{path}/incomplete"),
    "deletion": lambda api, path: api.delete(path),
}


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("action", DEEDS)
def test_an_undo_and_a_change_of_the_same_task_take_turns(
    api: Api, other_api: Api, sql: Sql, action: str, rival: str
) -> None:
    task = api.create_task()
    path = f"/tasks/{task['id']}"
    DEEDS[action](api, task["id"])
    undone = api.history_of(task["id"])[-1]["history_id"]
    undo = [partial(each.post, f"/history/{undone}/undo") for each in (api, other_api)]
    changes = [partial(RIVALS[rival], each, path) for each in (api, other_api)]

    responses = race([*undo, *changes, *undo, *changes])

    undos, changed = responses[:2] + responses[4:6], responses[2:4] + responses[6:]
    assert {response.status_code for response in undos} <= {200, 409}
    assert {response.status_code for response in changed} <= {200, 404}
    entries = api.history_of(task["id"])
    assert_legal(entries)
    # Each entry was written by one caller, who knows it.
    named = [response.headers["History-ID"] for response in responses if "History-ID" in response.headers]
    assert set(named) <= {entry["history_id"] for entry in entries}
    assert len(named) == len(set(named))
    undone_by = api.entry(undone)["undone_by"]
    assert (undone_by is not None) == any(response.status_code == 200 for response in undos)
    assert undone_by is None or undone_by in named
    assert sql(MISCOUNTED) == []


def test_undo_and_redo_at_once_leave_a_chain(api: Api, other_api: Api, sql: Sql) -> None:
    """Everybody undoes the last entry that they see: each is undone at most once."""
    task = api.create_task(title="Buy")
    api.update_task(task["id"], title="Sell")

    def undo_the_last(each: Api) -> httpx.Response:
        return each.post(f"/history/{each.history_of(task['id'])[-1]['history_id']}/undo")

    responses = from_both(api, other_api, undo_the_last)

    assert {response.status_code for response in responses} == {200}
    entries = api.history_of(task["id"])
    assert_legal(entries)
    written = {response.headers["History-ID"] for response in responses if "History-ID" in response.headers}
    assert written == {entry["history_id"] for entry in entries[2:]}
    for undone, undo in pairwise(entries[1:]):
        assert api.entry(undo["history_id"])["undoes"] == undone["history_id"]
    assert api.get_task(task["id"])["title"] == ("Buy" if len(entries) % 2 else "Sell")
    assert sql(MISCOUNTED) == []


def test_a_creation_that_many_send_with_one_key_is_made_once(api: Api, other_api: Api, sql: Sql) -> None:
    headers = {"Idempotency-Key": "a"}
    responses = from_both(api, other_api, lambda each: each.post("/tasks", json={"title": "x"}, headers=headers))

    assert {response.status_code for response in responses} == {201}
    assert len({response.content for response in responses}) == 1
    assert ["Idempotency-Replayed" in response.headers for response in responses].count(False) == 1
    assert api.list_tasks() == [responses[0].json()["data"]]
    [entry] = api.history()["items"]
    assert {response.headers["History-ID"] for response in responses} == {entry["history_id"]}
    assert sql(MISCOUNTED) == []


def test_of_many_bodies_with_one_key_one_becomes_the_task(api: Api, other_api: Api) -> None:
    headers = {"Idempotency-Key": "a"}
    calls = [
        partial(each.post, "/tasks", json={"title": f"Title {number}"}, headers=headers)
        for number in range(10)
        for each in (api, other_api)
    ]
    responses = race(calls * 2)

    assert sorted(response.status_code for response in responses) == [201] * 4 + [422] * 36
    [task] = api.list_tasks()
    created = [response for response in responses if response.status_code == 201]
    assert [response.json()["data"] for response in created] == [task] * 4
    assert len(api.history()["items"]) == 1


def test_a_key_that_is_sent_again_while_its_task_changes_gives_the_first_answer(
    api: Api, other_api: Api, sql: Sql
) -> None:
    headers = {"Idempotency-Key": "a"}
    first = api.post("/tasks", json={"title": "x"}, headers=headers)
    task = first.json()["data"]
    path = f"/tasks/{task['id']}"
    creation = f"/history/{first.headers['History-ID']}/undo"
    calls = [
        call
        for each in (api, other_api)
        for call in (
            *[partial(each.post, "/tasks", json={"title": "x"}, headers=headers)] * 5,
            partial(each.patch, f"{path}/complete"),
            partial(each.put, path, json={"title": "y"}),
            partial(each.patch, f"{path}/incomplete"),
            partial(each.put, path, json={"title": "x"}),
            partial(each.post, creation),
            partial(each.delete, path),
        )
    ]
    responses = race(calls)

    created = [response for response in responses if response.status_code == 201]
    assert len(created) == 10
    assert {response.content for response in created} == {first.content}
    assert {response.status_code for response in responses} <= {200, 201, 404, 409}
    assert_legal(api.history_of(task["id"]))
    assert sql(MISCOUNTED) == []


@pytest.mark.parametrize("attempt", range(3))
def test_of_many_edits_with_one_tag_one_is_made(api: Api, other_api: Api, sql: Sql, attempt: int) -> None:
    task = api.create_task(title="Buy")
    path, headers = f"/tasks/{task['id']}", {"If-Match": tag_of(task)}
    calls = [
        partial(each.put, path, json={"title": f"Title {number}"}, headers=headers)
        for number in range(CALLERS // 2)
        for each in (api, other_api)
    ]
    responses = race(calls)

    assert sorted(response.status_code for response in responses) == [200] + [412] * (CALLERS - 1)
    [made] = [response for response in responses if response.status_code == 200]
    assert api.get_task(task["id"]) == made.json()["data"]
    refused = [response for response in responses if response.status_code == 412]
    assert {response.headers["ETag"] for response in refused} == {tag_of(made.json()["data"])}
    assert len(api.history_of(task["id"])) == 2
    assert sql(MISCOUNTED) == []


def test_of_all_changes_with_one_tag_one_is_made(api: Api, other_api: Api, sql: Sql) -> None:
    task = api.create_task(title="Buy")
    path, headers = f"/tasks/{task['id']}", {"If-Match": tag_of(task)}
    calls = [
        call
        for each in (api, other_api)
        for call in (
            partial(each.put, path, json={"title": "Sell"}, headers=headers),
            partial(each.patch, f"{path}/complete", headers=headers),
            partial(each.delete, path, headers=headers),
        )
    ]
    responses = race(calls * 4)

    statuses = [response.status_code for response in responses]
    assert statuses.count(200) == 1
    # After a deletion there is no task to compare with.
    assert set(statuses) in ({200, 412}, {200, 404})
    assert len(api.history_of(task["id"])) == 2
    assert sql(MISCOUNTED) == []


@pytest.mark.parametrize("rival", RIVALS)
def test_a_change_that_many_send_with_one_key_is_made_once(api: Api, other_api: Api, sql: Sql, rival: str) -> None:
    task = api.create_task()
    if rival == "reopening":
        task = api.complete_task(task["id"])
    before = api.history_of(task["id"])
    for each in (api, other_api):
        each.headers.update({"Idempotency-Key": "a", "If-Match": tag_of(task)})

    responses = from_both(api, other_api, lambda each: RIVALS[rival](each, f"/tasks/{task['id']}"))

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert ["Idempotency-Replayed" in response.headers for response in responses].count(False) == 1
    [entry] = api.history_of(task["id"])[len(before) :]
    assert {response.headers["History-ID"] for response in responses} == {entry["history_id"]}
    assert sql(MISCOUNTED) == []


def test_another_process_knows_the_keys_of_one_that_has_ended(api: Api, database_url: URL) -> None:
    headers = {"Idempotency-Key": "a"}
    first = api.post("/tasks", json={"title": "x"}, headers=headers)
    path = f"/tasks/{first.json()['data']['id']}"
    deleted: httpx.Response | None = None
    for _ in range(2):
        with running(MAIN, DATABASE_URL=environment_of(database_url)) as (_, other):
            again = other.post("/tasks", json={"title": "x"}, headers=headers)
            assert (again.status_code, again.content) == (201, first.content)
            deletion = other.delete(path, headers=headers)
            assert deletion.status_code == 200
            assert ("Idempotency-Replayed" in deletion.headers) == (deleted is not None)
            deleted = deletion
    assert [entry["action_type"] for entry in api.history()["items"]] == ["DELETED", "CREATED"]
