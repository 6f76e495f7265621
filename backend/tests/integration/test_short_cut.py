"""The short cut past FastAPI answers exactly as FastAPI does."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from src.api import v1
from src.api.short_cut import ShortCut
from tests.support.client import Api

NOBODYS_ID = "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"
JSON = {"Content-Type": "application/json"}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/tasks/{id}", {}),
    ("HEAD", "/tasks/{id}", {}),
    ("GET", "/api/v1/tasks/{id}", {}),
    ("GET", "/tasks/{id}?unknown=1", {}),
    ("GET", "/tasks", {}),
    ("GET", "/tasks?limit=1&is_completed=false", {}),
    ("GET", "/tasks?limit=1&limit=2", {}),
    ("GET", "/tasks?limit=", {}),
    ("GET", "/history?page=1&limit=1", {}),
    ("GET", "/history?task_id={id}&action_type=CREATED", {}),
    ("GET", "/history?page=0", {}),
    ("GET", "/stats/weekly", {}),
    ("GET", "/stats/weekly?date=2026-11-18&tz=Europe/Berlin", {}),
    ("GET", "/stats/weekly?date=2026-11-31&tz=", {}),
    ("GET", "/stats/weekly?date=9999-12-31", {}),
    ("GET", "/stats/daily?from=2026-11-09&to=2026-11-15&tz=Asia%2FKathmandu", {}),
    ("GET", "/stats/daily?from=2026-11-09&to=2026-11-08", {}),
    ("GET", "/stats/daily?to=2026-11-15&to=2026-11-14", {}),
    ("GET", "/stats/daily?from=", {}),
    ("GET", "/health", {}),
    ("GET", "/health/ready", {}),
    ("GET", "/tasks/42", {}),
    ("GET", f"/tasks/{NOBODYS_ID}", {}),
    ("GET", "/tasks/%7Bid%7D", {}),
    ("GET", "/tasks//complete", {}),
    ("PATCH", "/tasks/{id}/incomplete", {}),
    ("PATCH", f"/tasks/{NOBODYS_ID}/complete", {}),
    ("DELETE", "/tasks", {}),
    ("PUT", "/tasks/{id}", {"json": {"title": "Buy groceries"}}),
    ("PUT", "/tasks/{id}", {"json": {}}),
    ("PUT", "/tasks/{id}", {"json": {"is_completed": True}}),
    ("PUT", "/tasks/42", {"json": {"title": ""}}),
    ("GET", "/tasks/{id}", {"headers": {"If-None-Match": "*"}}),
    ("HEAD", "/tasks/{id}", {"headers": {"If-None-Match": "*"}}),
    ("GET", "/tasks/{id}", {"headers": {"If-None-Match": "x"}}),
    ("PUT", "/tasks/{id}", {"json": {"title": "x"}, "headers": {"If-Match": '"other"'}}),
    ("PUT", "/tasks/{id}", {"json": {"title": ""}, "headers": {"If-Match": '"other"'}}),
    ("PUT", "/tasks/{id}", {"json": {"title": "x"}, "headers": {"If-Match": "x"}}),
    ("PUT", "/tasks/{id}", {"json": {"title": ""}, "headers": {"If-Match": "x"}}),
    ("PUT", "/tasks/42", {"json": {"title": "x"}, "headers": {"If-Match": "x"}}),
    ("PUT", "/tasks/{id}", {"content": b"title=x", "headers": {"If-Match": "x"}}),
    ("PATCH", "/tasks/{id}/complete", {"headers": {"Idempotency-Key": ""}}),
    ("PATCH", "/tasks/42/complete", {"headers": {"Idempotency-Key": ""}}),
    ("DELETE", f"/tasks/{NOBODYS_ID}", {"headers": {"Idempotency-Key": "a", "If-Match": "*"}}),
    ("POST", "/tasks", {"json": {"title": ""}, "headers": {"Idempotency-Key": "a"}}),
    ("POST", "/tasks", {"json": {"title": "x"}, "headers": {"Idempotency-Key": "a b"}}),
    ("POST", "/tasks", {"content": b"{", "headers": {**JSON, "Idempotency-Key": "a b"}}),
    ("GET", "/history/{entry}", {}),
    ("GET", "/history/42", {}),
    ("GET", f"/history/{NOBODYS_ID}", {}),
    ("POST", f"/history/{NOBODYS_ID}/undo", {}),
    ("POST", "/history/42/undo", {}),
    ("POST", "/history/{entry}/undo", {"json": {"title": "x"}}),
    ("GET", "/history/{entry}/undo", {}),
    ("POST", "/tasks", {"content": b"", "headers": JSON}),
    ("POST", "/tasks", {"content": b"{", "headers": JSON}),
    ("POST", "/tasks", {"content": b"title=x"}),
    ("POST", "/tasks", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}),
    ("POST", "/tasks", {"content": b'{"title": 1}', "headers": {"Content-Type": "application/json; charset=utf-8"}}),
    ("POST", "/tasks", {"content": b" " * 100_000, "headers": JSON}),
]


@pytest.mark.parametrize(("method", "path", "more"), REQUESTS)
def test_the_short_cut_answers_as_fastapi_does(
    api: Api, live_app: tuple[FastAPI, str], method: str, path: str, more: dict[str, Any]
) -> None:
    app, _ = live_app
    task = api.create_task()
    path = path.format(id=task["id"], entry=api.history_of(task["id"])[0]["history_id"])
    if path.endswith("/undo"):
        # Only the first request would write an entry.
        api.post(path)
    by_short_cut = api.request(method, path, **more)
    # As soon as any dependency is overridden, no request takes the short cut.
    app.dependency_overrides[test_the_short_cut_answers_as_fastapi_does] = lambda: None
    try:
        in_full = api.request(method, path, **more)
    finally:
        app.dependency_overrides.clear()

    for answer in (by_short_cut, in_full):
        del answer.headers["date"], answer.headers["x-request-id"]
    assert by_short_cut.status_code == in_full.status_code
    assert by_short_cut.headers == in_full.headers
    assert by_short_cut.content == in_full.content


def test_the_short_cut_reaches_every_endpoint() -> None:
    async def nothing(*_: object) -> None:
        pass

    reached = {route.endpoint for route in ShortCut(nothing, v1.routes)._routes.values()}
    assert reached == {route.endpoint for route in v1.routes if isinstance(route, APIRoute)}
