"""The application started, imported and tested like any FastAPI application."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

from config import BACKEND
from tests.support.databases import environment_of
from tests.support.service import Service, running
from tests.support.waiting import wait_until

COMMANDS = {
    "uvicorn": [sys.executable, "-m", "uvicorn", "main:app"],
    "uvicorn --reload": [sys.executable, "-m", "uvicorn", "main:app", "--reload"],
    "fastapi dev": [sys.executable, "-m", "fastapi_cli", "dev"],
}

# The tests of a user of this code, in a directory of their own.
THEIR_TESTS = """
import logging
import os

import httpx
import pytest
from fastapi.testclient import TestClient
from main import app
from src.api.dependencies import get_db


def create(client):
    answer = client.post("/tasks", json={"title": "Buy"})
    assert (answer.status_code, answer.json()["popup"]) == (201, "TASK_CREATED")


@pytest.mark.parametrize("time", ["first", "second"])
def test_with_a_test_client(time):
    with TestClient(app) as client:
        create(client)
        assert client.get("/health/ready").status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_with_httpx(anyio_backend):
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.post("/tasks", json={"title": "Buy"})).status_code == 201


def test_without_a_start():
    with pytest.raises(RuntimeError, match="The application has not started: write `with TestClient"):
        TestClient(app).get("/tasks")


def test_a_start_inside_of_another(monkeypatch):
    if "DATABASE_URL" not in os.environ:
        pytest.skip("the embedded PostgreSQL has one owner")
    with TestClient(app) as outer:
        monkeypatch.setenv("API_KEY", "a-key-of-their-own-test")
        with TestClient(app) as inner:
            assert inner.get("/tasks").status_code == 401
        assert outer.get("/tasks").status_code == 200


def test_under_a_path(monkeypatch):
    with TestClient(app, root_path="/below", follow_redirects=False) as client:
        assert client.get("/below/tasks/").status_code == 200
        assert "<title>Tasks</title>" in client.get("/below/").text
        assert client.get("/below/web/app.js").status_code == 200


def test_settings_are_read_at_each_start(monkeypatch):
    monkeypatch.setenv("API_KEY", "a-key-of-their-own-test")
    with TestClient(app) as client:
        assert client.get("/tasks").status_code == 401
        assert client.get("/openapi.json").json()["paths"]["/tasks"]["get"]["security"] == [{"apiKey": []}]
    monkeypatch.delenv("API_KEY")
    with TestClient(app) as client:
        assert client.get("/tasks").status_code == 200


def test_a_wrong_setting_is_one_sentence(monkeypatch):
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(Exception, match="^PORT: "), TestClient(app):
        pass


def test_their_log_stays_theirs(caplog):
    before = logging.getLogger().handlers.copy()
    with caplog.at_level(logging.INFO), TestClient(app) as client:
        client.get("/health")
    assert logging.getLogger().handlers == before
    assert any(message.startswith("GET /health 200") for message in caplog.messages)


def test_a_dependency_can_be_overridden():
    class Nowhere:
        async def run(self, *_, **__):
            return []

    app.dependency_overrides[get_db] = lambda: Nowhere()
    try:
        with TestClient(app) as client:
            assert client.get("/tasks/0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11").json()["error"] == "Task not found"
    finally:
        app.dependency_overrides.clear()
"""


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """A copy of the service that the test may edit, in a path with a space."""
    copy = tmp_path / "a path with a space" / "backend"
    return Path(
        shutil.copytree(BACKEND, copy, ignore=shutil.ignore_patterns("tests", "benchmarks", "__pycache__", ".*"))
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_it_serves_without_a_database_url(data_dir: Path, backend: Path, command: str) -> None:
    with running(COMMANDS[command], backend, DATA_DIR=str(data_dir)) as (service, api):
        task = api.create_task()
        service.wait_for("The data is in")
        if command in ("uvicorn --reload", "fastapi dev"):
            with (backend / "main.py").open("a") as source:
                source.write("# Edited.\n")
            wait_until(lambda: service.output.count("Application startup complete") == 2, lambda: service.output)
        assert api.list_tasks() == [task]
        # stop() also waits for every process that the service started.
        service.stop(signal.SIGINT)
    assert "Traceback" not in service.output


def test_it_serves_with_a_database_url(database_url: URL, backend: Path) -> None:
    with running(COMMANDS["fastapi dev"], backend, DATABASE_URL=environment_of(database_url)) as (service, api):
        api.create_task()
        assert "The data is in" not in service.output
        service.stop()


@pytest.mark.parametrize("embedded", [True, False])
def test_a_user_tests_it_like_any_fastapi_application(
    tmp_path: Path, data_dir: Path, database_url: URL, embedded: bool
) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIR_TESTS)
    database = {"DATA_DIR": str(data_dir)} if embedded else {"DATABASE_URL": environment_of(database_url)}
    # Starlette warns that it prefers httpx2; users have httpx.
    warnings = "filterwarnings=error\nignore:Using `httpx` with"
    ran = subprocess.run(
        [*(sys.executable, "-m", "pytest", "-q", "-o", warnings), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(BACKEND), "PYTEST_ADDOPTS": "", **database},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\d+ passed", ran.stdout)


def test_an_import_has_no_side_effects(tmp_path: Path) -> None:
    """Whatever the settings say: no connection, no migration, no server, no output."""
    look = (
        "import logging, threading, psutil; from main import app;"
        "assert psutil.Process().children() == [] and threading.active_count() == 1;"
        "assert psutil.Process().net_connections() == [];"
        "assert logging.getLogger().handlers == [];"
        "assert len(app.openapi()['paths']) > 5"
    )
    data = tmp_path / "data"
    for settings in ({"DATABASE_URL": "nonsense"}, {}):
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", look],
            cwd=BACKEND,
            env={**os.environ, "DATA_DIR": str(data), **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not data.exists()


@pytest.mark.parametrize("command", ["uvicorn", "uvicorn --reload"])
def test_a_start_that_waits_for_the_database_can_be_stopped(backend: Path, command: str) -> None:
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/tasks", "START_TIMEOUT_S": "3600"}
    service = Service(COMMANDS[command], backend, **nowhere)
    service.wait_for("Waiting for the database: connection to server at")
    service.stop(signal.SIGINT)
    assert "SIGINT ended the start." in service.output or "SIGTERM ended the start." in service.output
    assert "Traceback" not in service.output
