"""Every path and method: the envelope, CORS, HEAD, both prefixes, failures."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url

from src.database.database import Database
from tests.support.client import Api, data_of, error_of
from tests.support.databases import Sql, settings_for

ORIGIN = "http://localhost:3000"
TASK = "/tasks/0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"
ENTRY = "/history/0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"
READS = ["/tasks", "/history", "/stats/weekly", "/health"]


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_a_task_lives_under_both_prefixes(api: Api, prefix: str) -> None:
    task = data_of(api.post(f"{prefix}/tasks", json={"title": "x"}), 201, "TASK_CREATED")
    path = f"{prefix}/tasks/{task['id']}"
    assert data_of(api.get(path)) == task
    data_of(api.put(path, json={"title": "y"}), popup="TASK_UPDATED")
    data_of(api.patch(f"{path}/complete"), popup="TASK_COMPLETED")
    data_of(api.patch(f"{path}/incomplete"), popup="TASK_INCOMPLETE")
    assert len(data_of(api.get(f"{prefix}/tasks"))) == 1
    data_of(api.delete(path), popup="TASK_DELETED")
    history = data_of(api.get(f"{prefix}/history"))
    assert history["pagination"]["total_count"] == 5
    [deletion] = [entry for entry in history["items"] if entry["action_type"] == "DELETED"]
    path = f"{prefix}/history/{deletion['history_id']}"
    assert data_of(api.get(path))["undone_by"] is None
    data_of(api.post(f"{path}/undo"), popup="TASK_CREATED")
    assert data_of(api.get(path))["undone_by"] is not None
    data_of(api.delete(f"{prefix}/tasks/{task['id']}"), popup="TASK_DELETED")
    assert data_of(api.get(f"{prefix}/stats/weekly"))["total_tasks"] == 0


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_health_names_the_service(api: Api, prefix: str) -> None:
    health = {"status": "healthy", "service": "task-management-backend"}
    assert data_of(api.get(f"{prefix}/health")) == health


def test_the_page_and_its_files_stand_at_the_root(api: Api) -> None:
    page = api.get("/")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    files = re.findall(r'(?:href|src)="(web/[^"]+)"', page.text)
    assert {file.rpartition(".")[2] for file in files} == {"css", "js", "svg"}
    for answer in (page, *(api.get(f"/{file}") for file in files)):
        assert answer.status_code == 200
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/web/style.css"])
def test_a_browser_asks_each_time_whether_a_file_of_the_page_has_changed(api: Api, path: str) -> None:
    first = api.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert api.get(path, headers={"If-None-Match": '"another"'}).content == first.content


@pytest.mark.parametrize("path", ["/tasks/", "/api/v1/tasks/", "/history/?limit=1", "/health/", "/docs/"])
def test_a_trailing_slash_changes_nothing(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 200
    assert answer.text == api.get(path.replace("/?", "?").removesuffix("/")).text


def test_a_task_can_be_changed_with_a_trailing_slash(api: Api) -> None:
    task = data_of(api.post("/tasks/", json={"title": "x"}), 201, "TASK_CREATED")
    path = f"/tasks/{task['id']}/"
    data_of(api.put(path, json={"title": "y"}), popup="TASK_UPDATED")
    data_of(api.patch(f"{path}complete/"), popup="TASK_COMPLETED")
    response = api.post(path)
    assert (response.status_code, response.headers["Allow"]) == (405, "DELETE, GET, HEAD, PUT")


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/nope/",
        "/api/v1/",
        "/web",
        "/web/nope.js",
        "/web/..%2Fapi%2Fweb.py",
        "/api/v2/tasks",
        f"{TASK}/done",
        "/%00",
    ],
)
def test_an_unknown_path_is_not_found(api: Api, path: str) -> None:
    assert error_of(api.get(path), 404) == "There is no such path"


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/tasks", "GET, HEAD, POST"),
        ("POST", TASK, "DELETE, GET, HEAD, PUT"),
        ("GET", f"{TASK}/complete", "PATCH"),
        ("HEAD", f"{TASK}/incomplete", "PATCH"),
        ("DELETE", "/history", "GET, HEAD"),
        ("DELETE", ENTRY, "GET, HEAD"),
        ("PUT", f"{ENTRY}/undo", "POST"),
        ("POST", "/stats/weekly", "GET, HEAD"),
        ("OPTIONS", "/health", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_refused_with_the_allowed_ones(
    api: Api, prefix: str, method: str, path: str, allow: str
) -> None:
    response = api.request(method, prefix + path)
    assert response.status_code == 405
    assert response.headers["Allow"] == allow
    if method != "HEAD":
        assert error_of(response, 405) == "The method is not allowed on this path"


@pytest.mark.parametrize("path", [*READS, "/", "/web/app.js", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body(api: Api, path: str) -> None:
    head, get = api.head(path), api.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.content))


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", None])
@pytest.mark.parametrize(("method", "path"), [("POST", "/tasks"), ("PUT", TASK)])
def test_a_body_that_is_not_declared_json_is_refused(
    api: Api, method: str, path: str, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = api.request(method, path, content=b'{"title": "x"}', headers=headers)
    assert "Content-Type: application/json" in error_of(response, 415)
    assert api.list_tasks() == []


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_body_that_is_declared_json_is_read(api: Api, content_type: str) -> None:
    data_of(api.post("/tasks", content=b'{"title": "x"}', headers={"Content-Type": content_type}), 201, "TASK_CREATED")


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize("body", [b" " * 65_537, chunks(1024 * 1024)], ids=["declared", "chunked"])
def test_a_body_of_more_than_64_kib_is_refused(api: Api, body: Any) -> None:
    response = api.post("/tasks", content=body, headers={"Content-Type": "application/json", "Origin": ORIGIN})
    assert error_of(response, 413) == "The request body is too large"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_a_body_of_64_kib_is_read(api: Api) -> None:
    body = b'{"title": "x"}'.ljust(65_536)
    data_of(api.post("/tasks", content=body, headers={"Content-Type": "application/json"}), 201, "TASK_CREATED")


def test_a_crash_answers_500_without_internals(api: Api, sql: Sql) -> None:
    sql("ALTER TABLE tasks RENAME TO elsewhere; CREATE VIEW tasks AS SELECT * FROM elsewhere WHERE 1 / 0 = 1")

    response = api.get("/tasks", headers={"Origin": ORIGIN})

    assert error_of(response, 500) == "Something went wrong on our side"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks"),
        ("POST", "/tasks"),
        ("PATCH", f"{TASK}/complete"),
        ("GET", "/history"),
        ("GET", ENTRY),
        ("POST", f"{ENTRY}/undo"),
    ],
)
def test_without_a_database_the_answer_is_503(api: Api, live_app: tuple[FastAPI, str], method: str, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = make_url(f"postgresql://someone:secret@127.0.0.1:{port}/tasks")
    live_app[0].state.database = Database(settings_for(url, repeat_budget_s=0.1))

    response = api.request(method, path, json={"title": "x"}, headers={"Origin": ORIGIN})

    assert error_of(response, 503) == "The database is not available at the moment; please try again"
    assert int(response.headers["Retry-After"]) > 0
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert data_of(api.get("/health"))["status"] == "healthy"


@pytest.mark.parametrize(
    ("method", "path", "status_code"),
    [
        ("GET", "/tasks", 200),
        ("GET", "/nope", 404),
        ("GET", ENTRY, 404),
        ("POST", f"{ENTRY}/undo", 404),
        ("GET", "/tasks/42", 400),
        ("PUT", "/tasks", 405),
        ("POST", "/tasks", 415),
    ],
)
def test_the_frontend_may_read_every_answer(api: Api, method: str, path: str, status_code: int) -> None:
    response = api.request(method, path, content=b"x" if method == "POST" else None, headers={"Origin": ORIGIN})
    assert response.status_code == status_code
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in response.headers["Vary"]


def test_other_origins_may_read_nothing(api: Api) -> None:
    response = api.get("/tasks", headers={"Origin": "http://localhost:3001"})
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("name", ["ETag", "History-ID", "Idempotency-Replayed", "Link", "Retry-After", "X-Request-ID"])
@pytest.mark.parametrize("path", ["/tasks", "/nope", TASK])
def test_the_frontend_may_read_this_header(api: Api, path: str, name: str) -> None:
    exposed = api.get(path, headers={"Origin": ORIGIN}).headers["Access-Control-Expose-Headers"]
    assert name in exposed.split(", ")


def preflight(api: Api, origin: str, method: str, header: str = "content-type") -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": header,
    }
    return api.options("/tasks", headers=headers)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_the_frontend_may_send_every_method(api: Api, method: str) -> None:
    response = preflight(api, ORIGIN, method)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert method in response.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    "name", ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"]
)
def test_the_frontend_may_send_this_header(api: Api, name: str) -> None:
    response = preflight(api, ORIGIN, "PUT", f"content-type,{name.lower()}")
    assert response.status_code == 200
    assert name in response.headers["Access-Control-Allow-Headers"].split(", ")


def test_the_frontend_may_not_send_any_other_header(api: Api) -> None:
    assert preflight(api, ORIGIN, "PUT", "x-other").status_code == 400


def test_other_origins_may_send_nothing(api: Api) -> None:
    response = preflight(api, "http://evil.example", "POST")
    assert response.status_code == 400
    assert "Access-Control-Allow-Origin" not in response.headers
