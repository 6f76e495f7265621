"""POST /history/{history_id}/undo: ids, methods, paths, headers and bodies."""

from uuid import uuid4

import pytest

from tests.support.client import Api, Json, data_of, error_of

ORIGIN = "http://localhost:3000"


def undo_path(entry: Json) -> str:
    return f"/history/{entry['history_id']}/undo"


@pytest.fixture
def edit(api: Api) -> Json:
    """The entry of an edit."""
    return api.last_entry_of(api.update_task(api.create_task()["id"], title="Other")["id"])


def test_every_change_names_its_entry_and_no_other_answer_does(api: Api) -> None:
    created = api.post("/tasks", json={"title": "Buy"})
    path = f"/tasks/{created.json()['data']['id']}"
    changes = [
        created,
        api.put(path, json={"title": "Sell"}),
        api.patch(f"{path}/complete"),
        api.patch(f"{path}/incomplete"),
        api.delete(path),
    ]
    named = [response.headers["History-ID"] for response in changes]
    assert named == [entry["history_id"] for entry in api.history_of(created.json()["data"]["id"])]

    other = f"/tasks/{api.create_task(title='Buy')['id']}"
    unchanged = [
        api.put(other, json={"title": "Buy"}),
        api.put(other, json={"title": ""}),
        api.patch(f"{other}/incomplete"),
        api.delete(path),
        api.get(other),
        api.get("/history"),
        api.get(f"/history/{named[0]}"),
        api.post(f"/history/{named[0]}/undo"),
    ]
    assert [response.status_code for response in unchanged] == [200, 400, 200, 404, 200, 200, 200, 409]
    assert not [response for response in unchanged if "History-ID" in response.headers]


def test_an_unknown_entry_is_not_found(api: Api, edit: Json) -> None:
    for history_id in (str(uuid4()), edit["task_id"]):
        assert error_of(api.post(f"/history/{history_id}/undo"), 404) == "History entry not found"
    assert len(api.history_of(edit["task_id"])) == 2


@pytest.mark.parametrize("history_id", ["42", "%00", "{0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11}", "null"])
def test_a_malformed_id_is_refused(api: Api, history_id: str) -> None:
    assert error_of(api.post(f"/history/{history_id}/undo"), 400).startswith("history_id: must be a UUID")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_an_undo_is_a_post(api: Api, edit: Json, method: str) -> None:
    response = api.request(method, undo_path(edit))
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert api.last_entry_of(edit["task_id"]) == edit


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("application/json", b"null"),
        ("application/json", b'{"title": "x"}'),
        ("application/json", b"{"),
        ("application/json", b""),
        ("application/json", b"\x00\xff"),
        ("text/plain", b"undo"),
        ("multipart/form-data", b"--"),
        ("nonsense", b"x=y"),
        ("", b"x"),
        ("application/json", b" " * 2**20),
        ("application/octet-stream", b"\x00" * 2**20),
    ],
)
def test_a_body_is_ignored(api: Api, edit: Json, content_type: str, body: bytes) -> None:
    response = api.post(undo_path(edit), content=body, headers={"Content-Type": content_type})
    assert data_of(response, popup="TASK_UPDATED")["title"] == "Buy groceries"
    assert len(api.history_of(edit["task_id"])) == 3


@pytest.mark.parametrize("headers", [{"If-Match": '"x"'}, {"If-Match": "x"}, {"If-None-Match": "*"}])
def test_conditions_are_ignored(api: Api, edit: Json, headers: dict[str, str]) -> None:
    response = api.post(undo_path(edit), headers=headers)
    assert data_of(response, popup="TASK_UPDATED")["title"] == "Buy groceries"


@pytest.mark.parametrize("path", ["{}", "{}/", "/api/v1{}", "/api/v1{}/", "{}?unknown=1"])
def test_an_undo_has_both_prefixes(api: Api, edit: Json, path: str) -> None:
    response = api.post(path.format(undo_path(edit)), headers={"Origin": ORIGIN})
    assert data_of(response, popup="TASK_UPDATED")["title"] == "Buy groceries"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_a_refusal_can_be_read_by_the_frontend(api: Api, edit: Json) -> None:
    api.update_task(edit["task_id"], title="Third")
    response = api.post(undo_path(edit), headers={"Origin": ORIGIN})
    assert error_of(response, 409) == "The task has changed since"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Cache-Control"] == "no-store"
