"""The embedded PostgreSQL while it runs: one process owns it, restarts it, and takes it down with itself."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from config import BACKEND, Settings
from src.embedded_postgres.programs import EmbeddedPostgresError
from src.embedded_postgres.provision import provided_database
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from tests.support.clusters import memory_dir
from tests.support.databases import execute
from tests.support.waiting import PATIENCE_S, wait_until

OWNER = """
import sys, time
from pathlib import Path
from src.embedded_postgres.server import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
    print(postgres.pid, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def owner(empty_data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process that owns a server, and the server."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, empty_data_dir], cwd=BACKEND, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    server = psutil.Process(int(process.stdout.readline()))
    yield process, server
    process.kill()
    process.wait()
    process.stdout.close()
    server.wait(PATIENCE_S)


def test_data_outlives_the_server(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        server = psutil.Process(postgres.pid)
    assert not server.is_running()
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SELECT answer FROM kept") == [(42,)]


def test_the_server_stores_any_text_and_uses_utc(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SHOW server_encoding") == [("UTF8",)]
        assert execute(postgres.url, "SHOW timezone") == [("UTC",)]
        assert execute(postgres.url, "SHOW listen_addresses") == [("",)]


def test_the_data_and_the_socket_are_private(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        socket_dir = Path(str(postgres.url.query["host"]))
        for directory in (empty_data_dir, empty_data_dir / "cluster", socket_dir):
            assert directory.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(socket_dir / ".s.PGSQL.5432")) < 100
    assert not socket_dir.exists()


@pytest.mark.parametrize("name", ["private", "d" * 100])
def test_it_runs_wherever_temporary_files_are(
    empty_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    temporary = tmp_path / name
    temporary.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_a_second_owner_of_the_same_data_is_refused_with_the_pid_of_the_first(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        with (
            pytest.raises(EmbeddedPostgresError, match=rf"in use by another run \(process {os.getpid()}\)"),
            EmbeddedPostgres(empty_data_dir, NOT_DURABLE),
        ):
            pass
        assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_two_servers_run_side_by_side() -> None:
    with (
        memory_dir() as one,
        memory_dir() as other,
        EmbeddedPostgres(one, NOT_DURABLE) as first,
        EmbeddedPostgres(other, NOT_DURABLE) as second,
    ):
        execute(first.url, "CREATE TABLE here ()")
        assert execute(second.url, "SELECT to_regclass('here')") == [(None,)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_its_owner(
    owner: tuple[subprocess.Popen[str], psutil.Process], how: signal.Signals
) -> None:
    process, server = owner
    process.send_signal(how)
    process.wait(PATIENCE_S)
    server.wait(PATIENCE_S)


def test_data_can_be_used_at_once_after_its_owner_was_killed(
    owner: tuple[subprocess.Popen[str], psutil.Process], empty_data_dir: Path
) -> None:
    owner[0].kill()
    owner[0].wait()
    with EmbeddedPostgres(empty_data_dir) as postgres:
        assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_the_environment_of_the_owner_does_not_configure_the_server(
    empty_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SHOW port") == [("5432",)]


def test_of_four_simultaneous_starts_one_succeeds(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE):
        pass
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OWNER, empty_data_dir],
            cwd=BACKEND,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]
    wait_until(lambda: sum(process.poll() is None for process in processes) == 1)
    [winner] = [process for process in processes if process.poll() is None]
    assert winner.stdout is not None
    server = psutil.Process(int(winner.stdout.readline()))
    winner.terminate()
    for process in processes:
        process.communicate()
    server.wait(PATIENCE_S)


def test_the_server_accepts_connections_as_soon_as_it_has_started(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        psycopg2.connect(host=postgres.url.query["host"], user="postgres", dbname="postgres").close()


def test_a_killed_server_is_restarted(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir) as postgres:
        execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        killed = postgres.pid
        os.kill(killed, signal.SIGKILL)
        look = partial(execute, postgres.url, "SELECT answer FROM kept")
        assert wait_until(look, not_yet=(OperationalError,)) == [(42,)]
        assert postgres.pid != killed


def test_a_restart_keeps_the_log_of_the_killed_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        execute(postgres.url, "DO $$ BEGIN RAISE LOG 'what came before'; END $$")
        os.kill(postgres.pid, signal.SIGKILL)
        wait_until(lambda: execute(postgres.url, "SELECT 1"), not_yet=(OperationalError,))
        log = (data_dir / "postgresql.log").read_text()
    assert log.index("what came before") < log.rindex("ready to accept connections")


@pytest.mark.parametrize("how", [None, signal.SIGKILL], ids=["running", "killed"])
def test_a_server_whose_socket_directory_was_deleted_comes_back(data_dir: Path, how: signal.Signals | None) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        before = postgres.pid
        shutil.rmtree(postgres.socket_dir)
        if how is not None:
            os.kill(before, how)
        wait_until(lambda: execute(postgres.url, "SELECT 1"), not_yet=(OperationalError,))
        assert postgres.pid != before
        assert postgres.socket_dir.stat().st_mode & 0o777 == 0o700
        if how is None:
            # The supervisor stopped it; it did not crash.
            assert "not properly shut down" not in (data_dir / "postgresql.log").read_text()


def test_a_socket_directory_of_another_account_is_not_used(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        shutil.rmtree(postgres.socket_dir)
        postgres.socket_dir.symlink_to(tmp_path)
        os.kill(postgres.pid, signal.SIGKILL)
        wait_until(lambda: "belongs to another account" in caplog.text)
        assert list(tmp_path.iterdir()) == []
        postgres.socket_dir.unlink()
        wait_until(lambda: execute(postgres.url, "SELECT 1"), not_yet=(OperationalError,))


@pytest.mark.parametrize(("workers", "pool_size", "connections"), [(8, 20, 180), (1, 200, 220), (1, 20, 100)])
def test_max_connections_covers_every_process_with_some_to_spare(
    data_dir: Path, workers: int, pool_size: int, connections: int
) -> None:
    settings = Settings(_env_file=None, data_dir=data_dir, workers=workers, database_pool_size=pool_size)
    with provided_database(settings) as (ready, _):
        assert execute(ready.require_database_url(), "SHOW max_connections") == [(str(connections),)]
