"""The schema: made by Alembic, in agreement with the models, and brought up to date at start."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, NullPool, create_engine, make_url, text

import src.models
from config import BACKEND, ConfigurationError
from src.database import migrate
from src.database.base import Base
from src.database.guards import GUARDS
from src.database.migrate import prepare_schema
from src.exceptions.errors import SchemaOutdated
from tests.support.alembic_command import alembic
from tests.support.client import Api, data_of, error_of
from tests.support.databases import Sql, environment_of, execute, settings_for, transaction
from tests.support.load import Writers, audit
from tests.support.service import free_port
from tests.support.waiting import wait_until

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
    assert execute(url, "SELECT version_num FROM alembic_version") == [("0004",)]


def lock(*tables: str, mode: str = "ROW EXCLUSIVE") -> str:
    """SQL that locks tables, one after the other, as writers do."""
    return "; ".join(f"LOCK TABLE {table} IN {mode} MODE" for table in tables)


def waits_for(sql: Sql, table: str, mode: str) -> bool:
    """Tell whether somebody waits for a lock on `table`."""
    waiting = "SELECT FROM pg_locks WHERE relation = cast(:table AS regclass) AND mode = :mode AND NOT granted"
    return sql(waiting, table=table, mode=f"{mode}Lock") != []


def test_the_schema_goes_down_and_up_while_callers_change_tasks(api: Api, database_url: URL) -> None:
    with Writers(str(api.base_url)) as writers:
        for revision in ("0002", "head", "0001", "head") * 2:
            writers.wait_for_changes(20)
            migrated = alembic(database_url, "upgrade" if revision == "head" else "downgrade", revision)
            assert migrated.returncode == 0, migrated.stderr
        writers.wait_for_changes(20)
    assert (writers.errors, writers.broken) == ([], [])
    assert not any(audit(database_url, writers.acknowledged))


@pytest.mark.parametrize("revision", ["0002", "0001"])
def test_of_a_writer_and_a_migration_that_wait_for_each_other_the_migration_gives_way(
    database_url: URL, sql: Sql, revision: str
) -> None:
    for migration in (("downgrade", revision), ("upgrade", "head")):
        writer, other = ExitStack(), ExitStack()
        with ThreadPoolExecutor(2) as threads, writer, other:
            connection = writer.enter_context(create_engine(database_url, poolclass=NullPool).begin())
            connection.execute(text(lock("task_history")))
            other.enter_context(transaction(database_url, lock("tasks")))
            migrating = threads.submit(alembic, database_url, *migration)
            wait_until(lambda: waits_for(sql, "tasks", "AccessExclusive"))
            writing = threads.submit(connection.execute, text(lock("tasks")))
            wait_until(lambda: waits_for(sql, "tasks", "RowExclusive"))
            # Now the migration gets `tasks`, and waits for `task_history`.
            other.close()
            writing.result()
            writer.close()
            assert migrating.result().returncode == 0, migrating.result().stderr


def test_a_migration_that_waits_for_long_says_for_what_and_changes_nothing(database_url: URL, sql: Sql) -> None:
    assert alembic(database_url, "downgrade", "0002").returncode == 0
    before = sql(DEFINITIONS["columns"].replace(TABLES, "'counts'::regclass"))
    with transaction(database_url, lock("counts", mode="ACCESS SHARE")):
        sentence = "The table counts is in use; nothing was migrated within 1 s."
        with pytest.raises(ConfigurationError, match=f"^{re.escape(sentence)}$"):
            prepare_schema(settings_for(database_url, start_timeout_s=1))
        by_hand = alembic(database_url, "upgrade", "head", START_TIMEOUT_S="1")
        assert by_hand.returncode != 0
        assert by_hand.stdout.splitlines() == [f"FAILED: {sentence}"]
        assert by_hand.stderr == "The table counts is in use; the migration waits for 1 s at most\n"
    assert sql(DEFINITIONS["columns"].replace(TABLES, "'counts'::regclass")) == before
    prepare_schema(settings_for(database_url))


@pytest.mark.parametrize("arguments", [("check",), ("current",), ("upgrade", "head")])
def test_a_command_that_changes_nothing_waits_for_no_table(database_url: URL, arguments: tuple[str, ...]) -> None:
    with transaction(database_url, lock(*TABLE_NAMES)):
        done = alembic(database_url, *arguments, START_TIMEOUT_S="0")
    assert done.returncode == 0, done.stderr


def test_the_tables_of_others_are_left_alone(database_url: URL, sql: Sql) -> None:
    sql("CREATE TABLE theirs (); CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.tasks ()")
    with transaction(database_url, lock("theirs", "elsewhere.tasks")):
        for arguments in (("downgrade", "0002"), ("upgrade", "head")):
            assert alembic(database_url, *arguments, START_TIMEOUT_S="0").returncode == 0


def test_without_its_schema_every_endpoint_answers_503_until_it_is_back(api: Api, database_url: URL) -> None:
    task = api.create_task()
    path = f"/tasks/{task['id']}"
    requests = [("PUT", path), ("PATCH", f"{path}/complete"), ("PATCH", f"{path}/incomplete"), ("GET", path)]
    requests += [("GET", "/tasks"), ("GET", "/tasks?limit=10"), ("GET", "/history"), ("GET", "/stats/weekly")]
    requests += [("GET", f"/history?task_id={task['id']}"), ("POST", "/tasks"), ("GET", "/health/ready")]
    requests.append(("DELETE", path))
    for method, where in requests:
        # What a connection has prepared is there still when the tables are not.
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


def test_the_guards_that_are_checked_are_those_that_the_migrations_make(sql: Sql) -> None:
    made = sql("SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'")
    assert sorted(made) == sorted(GUARDS.items())


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        # As a restore of the data alone leaves them.
        ("ALTER TABLE task_history DISABLE TRIGGER ALL; ALTER TABLE task_history ENABLE TRIGGER ALL", "not always on"),
        ("ALTER TABLE task_history DISABLE TRIGGER refuse_truncate", "not always on: refuse_truncate on task_history;"),
        ("ALTER TABLE tasks ENABLE REPLICA TRIGGER count_change", "not always on: count_change on tasks;"),
        ("DROP TRIGGER refuse_change ON task_history", "missing: refuse_change on task_history;"),
    ],
)
def test_a_guard_that_is_off_is_noticed_and_how_to_bring_it_back_is_said(
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
