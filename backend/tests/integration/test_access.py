"""Who may call: API keys and trusted hosts."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import URL

from config import BACKEND
from main import create_app
from tests.support.client import Api, data_of, error_of
from tests.support.databases import environment_of, settings_for
from tests.support.live_server import serve
from tests.support.service import MAIN, running

KEYS = ("first-key-of-the-test", "second-key-of-the-test")


@pytest.fixture
def guarded(database_url: URL) -> Iterator[Api]:
    """A service that asks for a key and accepts two hosts."""
    settings = settings_for(database_url, api_key=", ".join(KEYS), trusted_hosts="tasks.example, 127.0.0.1")
    with serve(create_app(settings)) as (_, address), Api(address) as api:
        yield api


def test_without_a_key_every_path_of_the_api_answers_401(guarded: Api) -> None:
    for path in (
        "/tasks",
        "/api/v1/tasks",
        "/history",
        f"/history/{uuid4()}",
        "/stats/weekly",
        "/nope",
        "/metrics",
        "/docsx",
        "/webx",
    ):
        response = guarded.get(path, headers={"Origin": "http://localhost:3000"})
        assert "API key" in error_of(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert error_of(guarded.post("/tasks", content=b"nonsense", headers={"Idempotency-Key": "a b"}), 401)
    assert error_of(guarded.post(f"/history/{uuid4()}/undo"), 401)


@pytest.mark.parametrize("key", KEYS)
def test_each_key_is_accepted(guarded: Api, key: str) -> None:
    assert data_of(guarded.get("/tasks", headers={"Authorization": f"Bearer {key}"})) == []


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer wrong", f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]}x", "Bearer \xff"]
)
def test_a_wrong_key_is_refused(guarded: Api, authorization: str) -> None:
    response = guarded.get("/tasks", headers=[(b"Authorization", authorization.encode("latin-1"))])
    assert error_of(response, 401)


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health/ready",
        "/api/v1/health",
        "/docs",
        "/docs/assets/swagger-ui.css",
        "/redoc",
        "/openapi.json",
        "/",
        "/web/app.js",
    ],
)
def test_probes_pages_and_documentation_need_no_key(guarded: Api, path: str) -> None:
    assert guarded.get(path).status_code == 200, path


def test_the_document_says_which_operations_need_a_key(guarded: Api) -> None:
    document = guarded.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert document["paths"]["/tasks"]["post"]["security"] == [{"apiKey": []}]
    assert "401" in document["paths"]["/tasks"]["post"]["responses"]
    assert "security" not in document["paths"]["/health"]["get"]


def test_only_trusted_hosts_are_answered_and_probes_may_name_any(guarded: Api) -> None:
    authorized = {"Authorization": f"Bearer {KEYS[0]}"}
    assert data_of(guarded.get("/health", headers={"Host": "10.0.0.7"}))
    for host in ("evil.example", "tasks.example.evil", ""):
        assert error_of(guarded.get("/tasks", headers={**authorized, "Host": host}), 400).startswith("Host: ")
    for host in ("tasks.example", "TASKS.example:8000"):
        assert data_of(guarded.get("/tasks", headers={**authorized, "Host": host})) == []


def test_a_page_that_rebinds_its_dns_name_changes_nothing(api: Api) -> None:
    """The browser believes that the service is a part of that page's site, and sends its name as the host."""
    task = api.create_task()
    rebound = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
    for method, path in (("DELETE", f"/tasks/{task['id']}"), ("GET", "/tasks"), ("GET", "/"), ("GET", "/metrics")):
        error = error_of(api.request(method, path, headers=rebound), 400)
        assert error.startswith("Host: is not a host that this service answers for")
        assert "TRUSTED_HOSTS" in error
    assert api.list_tasks() == [task]
    assert data_of(api.get("/health", headers=rebound))


def test_the_log_says_how_to_allow_another_host(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    with serve(create_app(settings_for(database_url))) as (_, address), Api(address) as api:
        error_of(api.get("/tasks", headers={"Host": "tasks.example"}), 400)
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "TRUSTED_HOSTS" in warning
    assert "tasks.example" not in warning


def test_an_asterisk_allows_any_host(database_url: URL) -> None:
    app = create_app(settings_for(database_url, trusted_hosts="tasks.example, *"))
    with serve(app) as (_, address), Api(address) as api:
        assert data_of(api.get("/tasks", headers={"Host": "other.example"})) == []


def test_the_log_warns_of_a_public_address_without_a_key(database_url: URL) -> None:
    for api_key in ("", KEYS[0]):
        environment = {"DATABASE_URL": environment_of(database_url), "HOST": "0.0.0.0", "API_KEY": api_key}  # noqa: S104
        with running(MAIN, BACKEND, **environment) as (service, _):
            # The warning comes before this line.
            service.wait_for("Application startup complete")
            assert ("no API_KEY is set: anyone may call" in service.output) == (api_key == "")
