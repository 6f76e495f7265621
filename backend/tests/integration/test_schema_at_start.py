"""The schema at the start of the service: migrated, waited for, or refused in one sentence."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import URL, make_url

from config import BACKEND, ConfigurationError
from src.database import migrate
from src.database.guards import GUARDS
from src.database.migrate import prepare_schema
from src.exceptions.errors import SchemaOutdated
from tests.support.alembic_command import alembic
from tests.support.client import Api, data_of, error_of
from tests.support.databases import Sql, environment_of, execute, settings_for, table_names
from tests.support.service import free_port


def run_python(url: URL, statement: str) -> subprocess.CompletedProcess[str]:
    imports = "from config import load_settings; from src.database.migrate import prepare_schema"
    return subprocess.run(
        [sys.executable, "-c", f"{imports}; {statement}"],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": environment_of(url)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_database_without_schema_is_migrated_at_start(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    prepare_schema(settings_for(url))
    assert "tasks" in table_names(url)
    prepare_schema(settings_for(url))


def test_a_schema_up_to_date_needs_no_migration(database_url: URL) -> None:
    prepare_schema(settings_for(database_url, auto_migrate=False))


def test_of_four_simultaneous_starts_one_migrates(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    with ThreadPoolExecutor(4) as threads:
        started = [threads.submit(run_python, url, "prepare_schema(load_settings())") for _ in range(4)]
    assert [process.result().stderr for process in started] == [""] * 4
    assert execute(url, "SELECT version_num FROM alembic_version") == [("0007",)]


def test_a_waiting_start_says_so_at_once_and_every_five_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = settings_for(make_url(f"postgresql://x@127.0.0.1:{free_port()}/x"), start_timeout_s=12)
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(migrate, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))

    with pytest.raises(ConfigurationError, match=r"^The database cannot be used: connection to server"):
        prepare_schema(nowhere)

    assert now > 112
    assert [message.partition(": ")[0] for message in caplog.messages] == ["Waiting for the database"] * 3


@pytest.mark.parametrize(
    ("prepare", "overrides", "sentence"),
    [
        (None, {"auto_migrate": False}, "run `cd backend && ../.venv/bin/alembic upgrade head`"),
        ("CREATE TABLE alembic_version AS SELECT '9999' AS version_num", {}, "revision 9999, which is newer than this"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused(
    empty_database: Callable[[], URL], prepare: str | None, overrides: dict[str, Any], sentence: str
) -> None:
    url = empty_database()
    if prepare:
        execute(url, prepare)
    before = table_names(url)

    with pytest.raises(ConfigurationError, match=sentence.replace("&", "\\&")):
        prepare_schema(settings_for(url, **overrides))

    assert table_names(url) == before


def test_a_database_that_cannot_store_all_text_is_refused(server_url: URL, empty_database: Callable[..., URL]) -> None:
    url = empty_database("template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    with pytest.raises(ConfigurationError, match="encoding UTF8, to hold any text; it has LATIN1"):
        prepare_schema(settings_for(url))


def test_the_start_checks_every_guard_that_the_migrations_make(sql: Sql) -> None:
    made = sql("SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'")
    assert sorted(made) == sorted(GUARDS.items())


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        # What pg_restore --data-only leaves behind.
        ("ALTER TABLE task_history DISABLE TRIGGER ALL; ALTER TABLE task_history ENABLE TRIGGER ALL", "not always on"),
        ("ALTER TABLE task_history DISABLE TRIGGER refuse_truncate", "not always on: refuse_truncate on task_history;"),
        ("ALTER TABLE tasks ENABLE REPLICA TRIGGER count_change", "not always on: count_change on tasks;"),
        ("DROP TRIGGER refuse_change ON task_history", "missing: refuse_change on task_history;"),
    ],
)
def test_a_disabled_guard_is_refused_with_the_command_that_restores_it(
    api: Api, database_url: URL, sql: Sql, caplog: pytest.LogCaptureFixture, broken: str, sentence: str
) -> None:
    sql(broken)
    for auto_migrate in (True, False):
        with pytest.raises(ConfigurationError, match=f"^Triggers are {sentence}") as refused:
            prepare_schema(settings_for(database_url, auto_migrate=auto_migrate))
    assert error_of(api.get("/health/ready"), 503) == SchemaOutdated.message
    assert str(refused.value) in caplog.text

    if "DROP" not in broken:
        _, _, commands = str(refused.value).partition("run: ")
        sql(commands)
        prepare_schema(settings_for(database_url, auto_migrate=False))
        assert data_of(api.get("/health/ready"))


def test_without_the_schema_every_endpoint_answers_503_until_it_is_back(api: Api, database_url: URL) -> None:
    task = api.create_task()
    path = f"/tasks/{task['id']}"
    requests = [("PUT", path), ("PATCH", f"{path}/complete"), ("PATCH", f"{path}/incomplete"), ("GET", path)]
    requests += [("GET", "/tasks"), ("GET", "/tasks?limit=10"), ("GET", "/history"), ("GET", "/stats/weekly")]
    requests += [("GET", f"/history?task_id={task['id']}"), ("POST", "/tasks"), ("GET", "/health/ready")]
    requests.append(("DELETE", path))
    for method, where in requests:
        # Prepared statements of the connection outlive the tables.
        assert api.request(method, where, json={"title": "Other"}).is_success

    assert alembic(database_url, "downgrade", "base").returncode == 0
    for method, where in requests:
        response = api.request(method, where, json={"title": "Other"})
        assert error_of(response, 503) == SchemaOutdated.message, where
        assert int(response.headers["Retry-After"]) > 0

    assert alembic(database_url, "upgrade", "head").returncode == 0
    assert api.list_tasks() == []
    assert api.history()["items"] == []
    api.create_task()
    assert api.stats()["total_tasks"] == 1
    assert data_of(api.get("/health/ready"))
