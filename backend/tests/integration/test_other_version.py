"""Data of another major version of PostgreSQL: the start refuses it, and two commands carry it over."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from config import Settings
from src.backups import target
from src.backups.restore import restore
from src.backups.target import BackupError
from src.embedded_postgres.data_directory import make_private
from src.embedded_postgres.programs import EmbeddedPostgresError, programs_of_version, unprivileged_account
from src.embedded_postgres.provision import provided_database
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from tests.support.audit import MISCOUNTED
from tests.support.backups import backup_of, run_backup
from tests.support.client import Api, Json, data_of
from tests.support.clusters import memory_dir
from tests.support.databases import Sql, environment_of, execute
from tests.support.server_program import as_account
from tests.support.service import MAIN, Service, running

OLD = "15"
PROGRAMS = programs_of_version(OLD)


@pytest.fixture
def old_data() -> Iterator[Path]:
    """A data directory with a cluster of the old version."""
    if PROGRAMS is None:
        pytest.skip(f"PostgreSQL {OLD} is not installed (apt-get install postgresql-{OLD})")
    with memory_dir() as directory:
        account = unprivileged_account(directory)
        make_private(directory, account)
        initdb: list[str | Path] = [
            PROGRAMS / "initdb",
            *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
            f"--pgdata={directory / 'cluster'}",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=directory, **as_account(account))
        yield directory


def live(api: Api) -> Json:
    """Make some changes, and return the entry of the last one."""
    task = api.create_task("Buy groceries")
    api.complete_task(task["id"])
    api.delete_task(api.create_task("Gone")["id"])
    return api.last_entry_of(task["id"])


def test_two_commands_carry_old_data_over(old_data: Path, tmp_path: Path) -> None:
    with (
        EmbeddedPostgres(old_data, NOT_DURABLE, PROGRAMS) as postgres,
        running(MAIN, DATABASE_URL=environment_of(postgres.url)) as (_, api),
    ):
        entry = live(api)
        before = api.history(limit=100), api.stats(), api.list_tasks()
    refused = Service(MAIN, DATA_DIR=str(old_data))
    assert refused.wait() == 1
    assert f"run `make backup`, which runs PostgreSQL {OLD} once more, and then `make restore FILE=`" in refused.output

    here = {"DATA_DIR": str(old_data)}
    backup = run_backup(tmp_path, "backup", **here)
    assert backup.returncode == 0, backup.stderr
    [file] = tmp_path.iterdir()
    assert f"-postgresql-{OLD}-" in file.name
    done = run_backup(tmp_path, "restore", file, **here)
    assert done.returncode == 0, done.stderr
    kept = old_data / f"cluster.postgresql-{OLD}"
    assert done.stdout == (
        "Restored 1 tasks and 4 history entries\n"
        f"The old data is in {kept}; delete it once you are sure that you no longer need it.\n"
    )

    with running(MAIN, DATA_DIR=str(old_data)) as (_, api):
        assert (api.history(limit=100), api.stats(), api.list_tasks()) == before
        api.undo(entry)
        assert data_of(api.get("/health/ready")) == {"status": "ready"}
    with provided_database(Settings(_env_file=None, data_dir=old_data)) as (ready, _):
        assert execute(ready.require_database_url(), MISCOUNTED) == []


def test_a_restore_that_fails_leaves_the_old_data_in_its_place(old_data: Path, tmp_path: Path) -> None:
    with EmbeddedPostgres(old_data, NOT_DURABLE, PROGRAMS) as postgres:
        execute(postgres.url, "CREATE TABLE alembic_version AS SELECT '0005'::text AS version_num")
        execute(postgres.url, "CREATE TABLE tasks (); CREATE TABLE task_history ()")
    here = {"DATA_DIR": str(old_data)}
    assert run_backup(tmp_path, "backup", "broken", **here).returncode == 0
    done = run_backup(tmp_path, "restore", "broken", **here)
    assert done.returncode == 1
    assert (old_data / "cluster" / "PG_VERSION").read_text() == f"{OLD}\n"
    assert not list(old_data.glob("cluster.postgresql-*"))


def test_old_data_gives_way_although_its_totals_are_wrong_and_the_indexes_are_not_built(
    data_dir: Path, database_url: URL, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql("INSERT INTO counts (kind, day, count) VALUES ('CREATED', NULL, 5)")
    file, _ = backup_of(database_url, tmp_path)
    (data_dir / "cluster" / "PG_VERSION").write_text(f"{OLD}\n")
    # SIGTERM ends the restore.
    monkeypatch.setattr("src.backups.restore.build_search_indexes", lambda settings: sys.exit())
    with pytest.raises(SystemExit):
        restore(Settings(_env_file=None, data_dir=data_dir), file)
    assert (data_dir / f"cluster.postgresql-{OLD}").is_dir()
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SELECT version_num FROM alembic_version") != []
        assert execute(postgres.url, MISCOUNTED) == []


def test_a_server_that_is_newer_than_pg_dump_is_refused_in_one_sentence(
    database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if PROGRAMS is None:
        pytest.skip(f"PostgreSQL {OLD} is not installed (apt-get install postgresql-{OLD})")
    monkeypatch.setattr(target, "programs_for", lambda account: PROGRAMS)
    with pytest.raises(BackupError, match=r"is a newer PostgreSQL than the programs of this service"):
        backup_of(database_url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_programs_of_the_wrong_version_are_refused(data_dir: Path) -> None:
    if PROGRAMS is None:
        pytest.skip(f"PostgreSQL {OLD} is not installed (apt-get install postgresql-{OLD})")
    with (
        pytest.raises(EmbeddedPostgresError, match=rf"the given programs are those of PostgreSQL {OLD}\."),
        EmbeddedPostgres(data_dir, programs=PROGRAMS),
    ):
        pass


def test_a_version_that_is_not_on_this_machine_is_named_with_ways_to_get_it(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "cluster" / "PG_VERSION").write_text("9.6\n")
    done = run_backup(tmp_path, "backup", DATA_DIR=str(data_dir))
    assert done.returncode == 1
    assert "was written by PostgreSQL 9.6, which is not on this machine; install it" in done.stderr
    assert "POSTGRES_BIN=" in done.stderr
    done = run_backup(tmp_path, "backup", "--programs", "nowhere", DATA_DIR=str(data_dir))
    assert done.stderr == f"There is no PostgreSQL in {tmp_path / 'nowhere'}: No such file or directory.\n"
    assert list(tmp_path.iterdir()) == []
