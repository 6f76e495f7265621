"""The schema: made by Alembic, in agreement with the models, and brought up to date at start."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, NullPool, create_engine, make_url

import src.models
from config import BACKEND, ConfigurationError
from src.database import migrate
from src.database.base import Base
from src.database.migrate import prepare_schema
from tests.conftest import Sql, execute, settings_for
from tests.service import free_port

TABLE_NAMES = {"tasks", "task_history", "counts", "counted", "late_entries", "task_count_changes"}
TABLES = ", ".join(f"'{name}'::regclass" for name in TABLE_NAMES)
DEFINITIONS = {
    "columns": "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull"
    f" FROM pg_attribute WHERE attrelid IN ({TABLES}) AND attnum > 0 ORDER BY 1, attnum",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
    f" FROM pg_constraint WHERE conrelid IN ({TABLES}) AND contype <> 'n' ORDER BY 1, 2",
    "indexes": f"SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
    f" WHERE indrelid IN ({TABLES}) ORDER BY 1",
}


def alembic(url: URL, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": url.render_as_string(hide_password=False)},
        capture_output=True,
        text=True,
        check=False,
    )


def tables(url: URL) -> set[str]:
    return {row.tablename for row in execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_upgrade_makes_the_schema_and_downgrade_removes_it_all(empty_database: Callable[[], URL]) -> None:
    url = empty_database()

    assert alembic(url, "upgrade", "head").returncode == 0
    assert tables(url) == {*TABLE_NAMES, "alembic_version"}

    assert alembic(url, "downgrade", "base").returncode == 0
    assert tables(url) == {"alembic_version"}
    assert execute(url, "SELECT FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == []

    assert alembic(url, "upgrade", "head").returncode == 0


def test_a_migration_that_fails_leaves_the_schema_as_it_was(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    execute(url, "CREATE TABLE task_history ()")

    assert alembic(url, "upgrade", "head").returncode != 0

    assert tables(url) == {"task_history"}


def test_the_migrations_can_be_written_out_as_sql(database_url: URL) -> None:
    written = alembic(database_url, "upgrade", "head", "--sql")
    assert written.returncode == 0, written.stderr
    assert "CREATE TABLE tasks" in written.stdout


def test_alembic_sees_no_difference_between_models_and_schema(database_url: URL) -> None:
    assert src.models.Task.metadata is Base.metadata
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_the_models_make_the_same_definitions_as_the_migrations(
    sql: Sql, empty_database: Callable[[], URL], kind: str
) -> None:
    from_models = empty_database()
    Base.metadata.create_all(create_engine(from_models, poolclass=NullPool))

    migrated = sql(DEFINITIONS[kind])
    assert migrated
    assert migrated == execute(from_models, DEFINITIONS[kind])


def test_a_database_without_schema_is_migrated_at_start(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    prepare_schema(settings_for(url))
    assert "tasks" in tables(url)
    prepare_schema(settings_for(url))


def test_a_start_that_waits_says_so_at_first_and_every_five_seconds(
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


def test_of_many_that_start_at_once_one_migrates(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    with ThreadPoolExecutor(4) as threads:
        started = [threads.submit(run_python, url, "prepare_schema(load_settings())") for _ in range(4)]
    assert [process.result().stderr for process in started] == [""] * 4
    assert execute(url, "SELECT version_num FROM alembic_version") == [("0003",)]


def run_python(url: URL, statement: str) -> subprocess.CompletedProcess[str]:
    imports = "from config import load_settings; from src.database.migrate import prepare_schema"
    return subprocess.run(
        [sys.executable, "-c", f"{imports}; {statement}"],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": url.render_as_string(hide_password=False)},
        capture_output=True,
        text=True,
        check=False,
    )


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
    before = tables(url)

    with pytest.raises(ConfigurationError, match=sentence.replace("&", "\\&")):
        prepare_schema(settings_for(url, **overrides))

    assert tables(url) == before


def test_a_schema_up_to_date_needs_no_migration(database_url: URL) -> None:
    prepare_schema(settings_for(database_url, auto_migrate=False))


def test_a_database_that_cannot_hold_all_text_is_refused(server_url: URL, empty_database: Callable[..., URL]) -> None:
    url = empty_database("template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    with pytest.raises(ConfigurationError, match="encoding UTF8, to hold any text; it has LATIN1"):
        prepare_schema(settings_for(url))
