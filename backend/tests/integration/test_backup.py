"""Backups and restores: everything comes back, and a database with data in it is left alone."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import URL, NullPool, create_engine, text

from src.backups.backup import back_up
from src.backups.file import Label
from src.backups.restore import restore
from src.backups.target import BackupError
from src.database.database import Database
from src.database.migrate import prepare_schema
from tests.support.alembic_command import alembic
from tests.support.audit import MISCOUNTED
from tests.support.backups import BACKUP, backup_of, contents_of, run_backup
from tests.support.client import Api, Json, data_of
from tests.support.clusters import memory_dir
from tests.support.databases import (
    AS_REPLICA,
    OLD_ENTRY,
    WAITING_FOR_A_LOCK,
    Sql,
    environment_of,
    execute,
    settings_for,
    transaction,
)
from tests.support.live_server import close_database
from tests.support.pgbouncer import CONNECTIONS
from tests.support.service import MAIN, running
from tests.support.waiting import wait_until

Clone = Callable[[], AbstractContextManager[URL]]


@pytest.fixture
def life(api: Api, sql: Sql) -> Json:
    """Tasks in the test's database, some changed, deleted, undone, folded and late; the last entry of one."""
    task = api.create_task("Buy groceries", description="A tab\t, a \\ and\r\na line ✓")
    api.update_task(task["id"], title="Buy groceries and flowers")
    api.complete_task(task["id"])
    gone = api.create_task("Gone")
    api.delete_task(gone["id"])
    api.undo(api.last_entry_of(gone["id"]))
    sql("SELECT fold_counts()")
    api.create_task("Afterwards")
    sql(OLD_ENTRY, history_id="00000000-0000-4000-8000-000000000001", task_id=task["id"], action="UPDATED")
    return api.last_entry_of(gone["id"])


@pytest.fixture
def target(clone: Clone) -> Iterator[URL]:
    """A database with the schema and no data, as a service that has been started once leaves it."""
    with clone() as url:
        yield url


@contextmanager
def serving(live_app: tuple[FastAPI, str], url: URL) -> Iterator[None]:
    """Let the live service use the database at `url`."""
    app = live_app[0]
    before, app.state.database = app.state.database, Database(settings_for(url))
    try:
        yield
    finally:
        close_database(app.state.database, app)
        app.state.database = before


def test_a_restore_brings_everything_back(
    life: Json, api: Api, database_url: URL, target: URL, live_app: tuple[FastAPI, str], tmp_path: Path
) -> None:
    path, label = backup_of(database_url, tmp_path)
    assert restore(settings_for(target), path).label == label
    assert contents_of(target) == contents_of(database_url)
    assert execute(target, MISCOUNTED) == []
    with serving(live_app, target):
        assert data_of(api.get("/health/ready")) == {"status": "ready"}
        assert api.entry(life["history_id"]) == life
        api.undo(life)
        api.create_task("Later")
        assert execute(target, MISCOUNTED) == []


def test_a_backup_says_what_it_holds_and_only_its_owner_can_read_it(
    life: Json, database_url: URL, tmp_path: Path
) -> None:
    path, label = backup_of(database_url, tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    [of] = execute(
        database_url,
        "SELECT current_setting('server_version_num')::int / 10000 AS postgresql, version_num FROM alembic_version",
    )
    pattern = rf"task-backup-\d{{8}}T\d{{6}}Z-postgresql-{of.postgresql}-schema-{of.version_num}\.dump"
    assert re.fullmatch(pattern, path.name)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (label.tasks, label.entries) == (3, 8)


def test_a_restore_creates_the_schema_in_an_empty_database(
    life: Json, database_url: URL, empty_database: Callable[[], URL], tmp_path: Path
) -> None:
    path, _ = backup_of(database_url, tmp_path)
    target = empty_database()
    restore(settings_for(target), path)
    assert contents_of(target) == contents_of(database_url)
    # The indexes for searches are not in the backup, as not every server has their extension.
    indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    assert execute(target, indexes) == execute(database_url, indexes)


def test_a_service_goes_on_while_its_empty_database_is_filled(
    clone: Clone, api: Api, database_url: URL, tmp_path: Path
) -> None:
    with clone() as source:
        execute(source, f"{AS_REPLICA}INSERT INTO tasks VALUES (gen_random_uuid(), 'x', NULL, false, now(), now())")
        path, _ = backup_of(source, tmp_path)
    assert api.list_tasks() == []
    restore(settings_for(database_url), path)
    assert [task["title"] for task in api.list_tasks()] == ["x"]
    assert data_of(api.get("/health/ready")) == {"status": "ready"}
    api.complete_task(api.list_tasks()[0]["id"])


@pytest.mark.parametrize(
    "there",
    [
        "INSERT INTO tasks VALUES (gen_random_uuid(), 'x', NULL, false, now(), now())",
        "INSERT INTO task_history VALUES (gen_random_uuid(), gen_random_uuid(), 'DELETED', 'x', now())",
    ],
    ids=["a task", "an entry"],
)
def test_a_database_with_data_is_left_alone(there: str, database_url: URL, target: URL, tmp_path: Path) -> None:
    path, _ = backup_of(database_url, tmp_path)
    execute(target, there)
    before = contents_of(target)
    with pytest.raises(BackupError, match=r"has tasks or history entries already.*; nothing was restored"):
        restore(settings_for(target), path)
    assert contents_of(target) == before


def relabelled(path: Path, **changes: object) -> None:
    """Change what the last line of a backup says."""
    archive, line, _ = path.read_bytes().rsplit(b"\n", 2)
    label = Label(**{**json.loads(line)["task_backup"], **changes})
    path.write_bytes(archive + label.line())


def test_a_restore_that_misses_a_task_restores_nothing(
    life: Json, database_url: URL, target: URL, tmp_path: Path
) -> None:
    path, label = backup_of(database_url, tmp_path)
    relabelled(path, **{**asdict(label), "tasks": 4})
    before = contents_of(target)
    with pytest.raises(BackupError, match="had 4 tasks and 8 history entries, and 3 and 8 have arrived; nothing was"):
        restore(settings_for(target), path)
    assert contents_of(target) == before


def test_what_depends_on_the_tables_is_not_dropped(database_url: URL, target: URL, tmp_path: Path) -> None:
    path, _ = backup_of(database_url, tmp_path)
    execute(target, "CREATE VIEW theirs AS SELECT title FROM tasks")
    with pytest.raises(BackupError, match=r"cannot drop .* because other objects depend on"):
        restore(settings_for(target), path)
    assert execute(target, "SELECT title FROM theirs") == []


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        (lambda whole: b"", "is not a backup made by this service"),
        (lambda whole: b"-- SQL\n", "is not a backup made by this service"),
        (lambda whole: whole[: len(whole) // 2], "is not complete"),
        (lambda whole: whole.rsplit(b"\n", 2)[0], "is not complete"),
        (lambda whole: whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:], "is damaged"),
    ],
    ids=["empty", "SQL", "half", "a plain dump", "a flipped bit"],
)
def test_a_spoilt_file_is_refused(
    spoilt: Callable[[bytes], bytes], sentence: str, life: Json, database_url: URL, target: URL, tmp_path: Path
) -> None:
    path, _ = backup_of(database_url, tmp_path)
    path.write_bytes(spoilt(path.read_bytes()))
    before = contents_of(target)
    with pytest.raises(BackupError, match=sentence):
        restore(settings_for(target), path)
    assert contents_of(target) == before


def test_a_backup_of_a_newer_schema_is_refused(database_url: URL, target: URL, sql: Sql, tmp_path: Path) -> None:
    sql("UPDATE alembic_version SET version_num = '9999'")
    path, _ = backup_of(database_url, tmp_path)
    with pytest.raises(BackupError, match="has schema revision 9999, which is newer than this code"):
        restore(settings_for(target), path)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_a_backup_of_an_older_schema_is_migrated(
    revision: str, empty_database: Callable[[], URL], target: URL, tmp_path: Path
) -> None:
    source = empty_database()
    assert alembic(source, "upgrade", revision).returncode == 0
    execute(source, "INSERT INTO tasks VALUES (gen_random_uuid(), 'x', NULL, true, now(), now(), now())")
    path, _ = backup_of(source, tmp_path)
    restore(settings_for(target, auto_migrate=False), path)
    assert execute(target, "SELECT title FROM tasks") == [("x",)]
    assert execute(target, MISCOUNTED) == []
    prepare_schema(settings_for(target, auto_migrate=False))


@pytest.mark.parametrize(
    "wrong",
    ["count = count + 1 WHERE day IS NULL", "count = count + 1 WHERE day IS NOT NULL", "quarters[7] = quarters[7] + 1"],
    ids=["in all", "of a day", "of a quarter"],
)
def test_totals_that_were_wrong_in_the_backup_are_counted_again(
    wrong: str, life: Json, database_url: URL, target: URL, sql: Sql, tmp_path: Path
) -> None:
    where = "AND" if "WHERE" in wrong else "WHERE day IS NOT NULL AND"
    sql(f"UPDATE counts SET {wrong} {where} kind = 'task created'")
    path, _ = backup_of(database_url, tmp_path)
    done = run_backup(tmp_path, "restore", path, DATABASE_URL=environment_of(target))
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "Restored 3 tasks and 8 history entries\n"
        "The backup had wrong totals (task created); all totals have been counted again.\n"
    )
    assert execute(target, MISCOUNTED) == []


def settings_left_by_clients(pooler: URL) -> set[str]:
    """Return the settings of the pooler's two connections that another client's session has left."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(create_engine(pooler, poolclass=NullPool).connect()) for _ in range(CONNECTIONS)
        ]
        query = text("SELECT name FROM pg_settings WHERE source = 'session'")
        found = {name for connection in connections for name in connection.scalars(query)}
    # PgBouncer sets these to what each client wants.
    return found - {"application_name", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings"}


def test_a_restore_through_pgbouncer_leaves_no_settings_to_other_clients(
    life: Json, database_url: URL, target: URL, pooler_url: URL, tmp_path: Path
) -> None:
    path, label = backup_of(database_url, tmp_path)
    pooled = pooler_url.set(database=target.database)
    assert restore(settings_for(pooled), path).label == label
    assert contents_of(target) == contents_of(database_url)
    assert settings_left_by_clients(pooled) == set()


def test_a_backup_through_pgbouncer_is_refused(database_url: URL, pooler_url: URL, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="give the address of PostgreSQL itself"):
        backup_of(pooler_url.set(database=database_url.database), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def owned(server_url: URL, empty_database: Callable[[], URL]) -> Iterator[tuple[URL, str, str]]:
    """A database with the schema and no data, the role that owns the tables, and one that may write tasks."""
    url = empty_database()
    owner, application = f"{url.database}_owner", f"{url.database}_app"
    execute(
        url, f"CREATE ROLE {owner} LOGIN; CREATE ROLE {application}; ALTER DATABASE {url.database} OWNER TO {owner}"
    )
    prepare_schema(settings_for(url.set(username=owner)))
    execute(
        url, f"GRANT SELECT, INSERT ON tasks TO {application}; GRANT SELECT ON SEQUENCE late_before TO {application}"
    )
    yield url, owner, application
    execute(server_url, f"DROP DATABASE {url.database} WITH (FORCE)")
    execute(server_url, f"DROP ROLE {owner}; DROP ROLE {application}")


def test_owner_and_grants_of_the_target_survive(
    life: Json, database_url: URL, owned: tuple[URL, str, str], tmp_path: Path
) -> None:
    target, owner, application = owned
    path, _ = backup_of(database_url, tmp_path)
    owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    granted = (
        "SELECT relname::text, privilege_type FROM pg_class, aclexplode(relacl)"
        " WHERE grantee = CAST(:name AS regrole) ORDER BY 1, 2"
    )
    before = execute(target, granted, name=application)
    restore(settings_for(target), path)
    assert execute(target, granted, name=application) == before
    assert execute(target, owners) == [(owner,)]


def test_a_backup_overwrites_nothing(database_url: URL, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("mine")
    with pytest.raises(BackupError, match="choose another name"):
        back_up(settings_for(database_url), tmp_path, path, None)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("there", "mine")]


def test_a_database_without_the_tables_is_refused(empty_database: Callable[[], URL], tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="does not have the tables of this service"):
        backup_of(empty_database(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_password_is_in_a_command_line_or_a_message(server_url: URL, database_url: URL, tmp_path: Path) -> None:
    url = database_url.set(password="hunter2").update_query_dict({"sslpassword": "hunter3"})  # noqa: S106
    path, _ = back_up(settings_for(url), tmp_path, None, None)
    done = run_backup(
        tmp_path, "restore", path, DATABASE_URL=environment_of(url.set(database="nowhere")), START_TIMEOUT_S="0"
    )
    assert done.returncode == 1
    assert 'database "nowhere" does not exist' in done.stderr
    assert "hunter" not in done.stdout + done.stderr


def interrupted(when: Callable[[], object], url: URL, directory: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Run `backup.py` with a Ctrl-C as soon as `when` returns something; return its exit status and its output."""
    process = subprocess.Popen(
        [*BACKUP, *arguments],
        cwd=directory,
        env={**os.environ, "DATABASE_URL": environment_of(url)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(when)
    os.killpg(process.pid, signal.SIGINT)
    # A program that does not hear it would wait for the caller's locks for ever.
    printed, said = process.communicate(timeout=60)
    return process.returncode, printed, said


def test_ctrl_c_leaves_no_half_file(database_url: URL, sql: Sql, tmp_path: Path) -> None:
    def is_writing() -> bool:
        return bool(list(tmp_path.iterdir()) and sql(WAITING_FOR_A_LOCK))

    with transaction(database_url, "LOCK TABLE counts"):
        ended = interrupted(is_writing, database_url, tmp_path, "backup")
    assert ended == (1, "", "Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_wait_for_a_lock(database_url: URL, sql: Sql, tmp_path: Path) -> None:
    with transaction(database_url, "LOCK TABLE tasks"):
        status, printed, said = interrupted(lambda: sql(WAITING_FOR_A_LOCK), database_url, tmp_path, "backup")
    assert (status, printed) == (1, "")
    # The server may wait before the client does.
    canceled = "The database cannot be backed up: canceling statement due to user request.\n"
    assert said in (canceled, "Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_build_of_the_indexes_after_a_restore(database_url: URL, target: URL, tmp_path: Path) -> None:
    path, _ = backup_of(database_url, tmp_path)
    is_building = f"{WAITING_FOR_A_LOCK} AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
    # The build waits for the end of this transaction.
    with transaction(target, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"):
        status, printed, said = interrupted(lambda: execute(target, is_building), target, tmp_path, "restore", path)
    assert (status, printed) == (0, "Restored 0 tasks and 0 history entries\n")
    # The server may wait before the client does.
    reasons = ("canceling statement due to user request", "interrupted")
    assert any(f"The indexes for searches were not built: {reason}" in said for reason in reasons)


def test_the_embedded_data_is_backed_up_with_and_without_a_service(data_dir: Path, tmp_path: Path) -> None:
    with running(MAIN, DATA_DIR=str(data_dir)) as (_, api):
        task = api.create_task()
        done = run_backup(tmp_path, "backup", DATA_DIR=str(data_dir))
        assert done.returncode == 0, done.stderr
        api.delete_task(task["id"])
    [first] = tmp_path.iterdir()
    assert done.stdout == f"Wrote 1 tasks and 1 history entries to {first}\n"
    done = run_backup(tmp_path, "backup", "second", DATA_DIR=str(data_dir))
    assert done.stdout == f"Wrote 0 tasks and 2 history entries to {tmp_path / 'second'}\n"
    with memory_dir() as new:
        with running(MAIN, DATA_DIR=str(new)) as (_, api):
            done = run_backup(tmp_path, "restore", first, DATA_DIR=str(new))
            assert done.stdout == "Restored 1 tasks and 1 history entries\n", done.stderr
            assert api.list_tasks() == [task]
        done = run_backup(tmp_path, "restore", "second", DATA_DIR=str(new))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1].startswith("The database has tasks or history entries already")


def test_there_must_be_data_to_back_up(empty_data_dir: Path, tmp_path: Path) -> None:
    done = run_backup(tmp_path, "backup", DATA_DIR=str(empty_data_dir))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"There is no data in {empty_data_dir};")
    assert not empty_data_dir.exists()
