"""Hostile and broken input: refused in the envelope, without a change; and the headers that protect browsers."""

import json
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.support.client import Api, error_of

ORIGIN = "http://localhost:3000"
TOO_MANY_FIELDS = "body: must not have more than 100 fields"


def post(api: Api, body: bytes) -> httpx.Response:
    return api.post("/tasks", content=body, headers={"Content-Type": "application/json", "Origin": ORIGIN})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"title": NaN}', "body: must not contain NaN"),
        (b'{"title": "x", "description": Infinity}', "body: must not contain Infinity"),
        (b'{"title": "x", "description": -Infinity}', "body: must not contain -Infinity"),
        (b'{"title": 1e999}', "body: must not contain numbers out of range"),
        (b'{"title": 1' + b"0" * 5000 + b"}", "body: must not contain numbers out of range"),
        (b'{"title": 0.' + b"1" * 5000 + b"}", "title: must be a string"),
        (b'{"title": "x", "title": "y"}', "body: must not name a field twice"),
        (b'{"title": "x", ' + b", ".join(b'"%d": 1' % n for n in range(100)) + b"}", TOO_MANY_FIELDS),
        (b'{"title": {' + b", ".join(b'"%d": 1' % n for n in range(101)) + b"}}", TOO_MANY_FIELDS),
        (b'{"title": "x", "description": {"a": 1, "a": 2}}', "body: must not name a field twice"),
        (b'{"title": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "body: is nested too deeply"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "body: is nested too deeply"),
        ('{"title": "x"}'.encode("utf-16"), "body: must be UTF-8"),
        ('{"title": "x"}'.encode("utf-16-le"), "body: is not valid JSON"),
        ('{"title": "x"}'.encode("utf-32"), "body: must be UTF-8"),
        (b'\xef\xbb\xbf{"title": "x"}', "body: is not valid JSON"),
        (b'{"title": "\xc3\x28"}', "body: must be UTF-8"),
        (b'{"title": "\xed\xa0\x80"}', "body: must be UTF-8"),
        (b'{"title": "x"} {"title": "y"}', "body: is not valid JSON"),
        (b"{'title': 'x'}", "body: is not valid JSON"),
        (b'{"title": "x",}', "body: is not valid JSON"),
        (b'{"title": "a\nb"}', "body: is not valid JSON"),
        (b" ", "body: is not valid JSON"),
        (b"\x00", "body: is not valid JSON"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused(api: Api, body: bytes, error: str) -> None:
    response = post(api, body)
    assert error_of(response, 400) == error
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert api.list_tasks() == []


@pytest.mark.parametrize(
    "path",
    [
        "/tasks//",
        "/tasks/../tasks/x/y",
        "/%2e%2e/etc/passwd",
        "/tasks/%ff",
        "/tasks/%0d%0aSet-Cookie:%20a=b",
        "/" + "x" * 8000,
        "/api/v1",
        "/api/v1/",
        "/TASKS",
    ],
)
def test_a_strange_path_is_refused(api: Api, path: str) -> None:
    response = api.get(path, headers={"Origin": ORIGIN})
    assert error_of(response, response.status_code)
    assert response.status_code in (400, 404)
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Location" not in response.headers
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "secret", ["<script>alert(1)</script>", "hunter2", "${jndi:ldap://x}", "%s%n", "SELECT", "\u202e"]
)
def test_an_error_does_not_repeat_what_was_sent(api: Api, secret: str) -> None:
    responses = [
        api.post("/tasks", json={"title": [secret]}),
        api.post("/tasks", json={"title": "x" * 300 + secret}),
        api.post("/tasks", json={"title": "x", "description": {"y": secret}}),
        post(api, f'{{"title": "{secret}" nonsense'.encode()),
        api.get(f"/tasks/{httpx.URL('http://x/', params={'q': secret}).query.decode()}"),
        api.get("/history", params={"page": secret, "action_type": secret, "task_id": secret}),
        api.post(f"/history/{quote(secret, safe='')}/undo"),
        api.get("/stats/weekly", params={"date": secret, "tz": secret}),
        api.get("/stats/daily", params={"from": secret, "to": secret, "tz": secret}),
        api.get(f"/tasks/{uuid4()}", headers=[(b"If-None-Match", secret.encode())]),
        api.delete(f"/tasks/{uuid4()}", headers=[(b"If-Match", f'"a", {secret}'.encode())]),
        api.post("/tasks", json={"title": "x"}, headers=[(b"Idempotency-Key", f"a {secret}".encode())]),
    ]
    for response in responses:
        assert response.status_code in (400, 404), response.text
        error = error_of(response, response.status_code)
        for internals in ("Traceback", "pydantic", "psycopg2", "sqlalchemy", "src."):
            assert internals not in error
        assert secret not in response.text
        assert json.dumps(secret)[1:-1] not in response.text
    assert api.list_tasks() == []
    assert api.history()["items"] == []


@pytest.mark.parametrize("given", ["a", "trace-1.2_3", "x" * 64])
def test_the_callers_request_id_comes_back(api: Api, given: str) -> None:
    for path in ("/tasks", "/nope", "/tasks/42"):
        assert api.get(path, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "a\tb", "\u00e9", "a;b", "../x"])
def test_an_unsafe_request_id_is_replaced(api: Api, given: str | None) -> None:
    headers = [] if given is None else [(b"X-Request-ID", given.encode())]
    responses = [api.get("/health", headers=headers) for _ in range(2)]
    ids = {response.headers["X-Request-ID"] for response in responses}
    assert len(ids) == 2
    assert given not in ids
    assert all(len(request_id) == 32 for request_id in ids)


@pytest.mark.parametrize(
    ("path", "status_code"), [("/tasks", 200), ("/tasks/42", 400), ("/nope", 404), ("/health", 200)]
)
def test_browsers_must_not_cache_guess_frame_or_run_an_answer(api: Api, path: str, status_code: int) -> None:
    response = api.get(path)
    assert response.status_code == status_code
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "X-Request-ID" in response.headers
    assert "Server" not in response.headers


def test_the_documentation_may_run_its_own_scripts_only(api: Api) -> None:
    response = api.get("/docs")
    assert response.status_code == 200
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "X-Request-ID" in response.headers
