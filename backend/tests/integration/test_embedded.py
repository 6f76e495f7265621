"""The embedded PostgreSQL: owned by one process, and gone with it."""

import os
import shutil
import signal
import subprocess
import sys
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
from tests.support.clusters import cluster_dir, memory_dir
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
def data_dir() -> Iterator[Path]:
    with memory_dir() as directory:
        yield directory


@pytest.fixture
def used_data_dir() -> Iterator[Path]:
    """Data that an earlier server has left."""
    with cluster_dir() as directory:
        yield directory


@pytest.fixture
def owner(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process that owns a server, and the server."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, data_dir], cwd=BACKEND, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    server = psutil.Process(int(process.stdout.readline()))
    yield process, server
    process.kill()
    process.wait()
    process.stdout.close()
    server.wait(PATIENCE_S)


def test_data_outlives_the_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        server = psutil.Process(postgres.pid)
    assert not server.is_running()
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SELECT answer FROM kept") == [(42,)]


def test_the_server_holds_any_text_and_speaks_utc(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SHOW server_encoding") == [("UTF8",)]
        assert execute(postgres.url, "SHOW timezone") == [("UTC",)]
        assert execute(postgres.url, "SHOW listen_addresses") == [("",)]


def test_the_data_and_the_socket_are_private(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        socket_dir = Path(str(postgres.url.query["host"]))
        for directory in (data_dir, data_dir / "cluster", socket_dir):
            assert directory.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(socket_dir / ".s.PGSQL.5432")) < 100
    assert not socket_dir.exists()


def test_a_second_owner_of_the_same_data_is_told_of_the_first(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        with (
            pytest.raises(EmbeddedPostgresError, match=rf"in use by another run \(process {os.getpid()}\)"),
            EmbeddedPostgres(data_dir, NOT_DURABLE),
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
    owner: tuple[subprocess.Popen[str], psutil.Process], data_dir: Path
) -> None:
    owner[0].kill()
    owner[0].wait()
    with EmbeddedPostgres(data_dir) as postgres:
        assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_data_recovers_after_the_server_was_killed(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postgres.pid, signal.SIGKILL)
    with EmbeddedPostgres(data_dir) as postgres:
        assert execute(postgres.url, "SELECT answer FROM kept") == [(42,)]


def test_an_innocent_process_with_a_leftover_pid_is_spared(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE):
        left = (data_dir / "cluster" / "postmaster.pid").read_text()
    with subprocess.Popen(["sleep", "60"]) as innocent:  # noqa: S607
        (data_dir / "cluster" / "postmaster.pid").write_text(f"{innocent.pid}\n" + left.partition("\n")[2])
        with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
            assert execute(postgres.url, "SELECT 1") == [(1,)]
        assert innocent.poll() is None
        innocent.kill()


def test_an_unfinished_cluster_is_made_anew(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE):
        pass
    (data_dir / "cluster").rename(data_dir / "cluster.unfinished")
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SELECT 1") == [(1,)]
    assert not (data_dir / "cluster.unfinished").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"\xff\xfe", b"words\n", b"0\n"], ids=["empty", "NULs", "binary", "words", "zero"]
)
def test_lock_files_that_name_no_process_stop_no_start(used_data_dir: Path, content: bytes) -> None:
    """A power loss can leave such files."""
    postgres = EmbeddedPostgres(used_data_dir, NOT_DURABLE)
    cluster = used_data_dir / "cluster"
    postgres.socket_dir.mkdir(mode=0o700)
    os.chown(postgres.socket_dir, cluster.stat().st_uid, cluster.stat().st_gid)
    for lock_file in (cluster / "postmaster.pid", postgres.socket_dir / ".s.PGSQL.5432.lock"):
        lock_file.write_bytes(content)
    with postgres:
        assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_a_server_that_ended_and_that_nobody_has_reaped_stops_no_start(used_data_dir: Path) -> None:
    cluster = used_data_dir / "cluster"
    # Of the server's account, or PostgreSQL knows that it is none of its own.
    with subprocess.Popen(["true"], user=cluster.stat().st_uid) as ended:  # noqa: S607
        wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
        (cluster / "postmaster.pid").write_text(f"{ended.pid}\n")
        with EmbeddedPostgres(used_data_dir, NOT_DURABLE) as postgres:
            assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_data_that_postgresql_cannot_use_is_refused_in_one_sentence(used_data_dir: Path) -> None:
    (used_data_dir / "cluster" / "PG_VERSION").write_text("nonsense\n")
    with (
        pytest.raises(EmbeddedPostgresError, match="is not a valid data directory"),
        EmbeddedPostgres(used_data_dir),
    ):
        pass


@pytest.mark.parametrize("written", ["9.6", "17", "19"])
def test_data_of_another_version_is_refused_with_both_versions_and_a_way_out(used_data_dir: Path, written: str) -> None:
    with EmbeddedPostgres(used_data_dir, NOT_DURABLE) as postgres:
        [(number,)] = execute(postgres.url, "SHOW server_version_num")
    (used_data_dir / "cluster" / "PG_VERSION").write_text(f"{written}\n")
    with pytest.raises(EmbeddedPostgresError) as raised, EmbeddedPostgres(used_data_dir):
        pass
    sentence = str(raised.value)
    assert f"written by PostgreSQL {written}, and the embedded PostgreSQL is {int(number) // 10_000}," in sentence
    assert "set DATA_DIR" in sentence
    assert f"dump it with PostgreSQL {written}'s programs (pg_dump)" in sentence


def test_a_failed_start_gives_its_own_reason_and_not_that_of_an_earlier_one(used_data_dir: Path) -> None:
    (used_data_dir / "postgresql.log").write_text("FATAL:  an earlier reason\n")
    (used_data_dir / "cluster" / "postgresql.conf").unlink()
    with (
        pytest.raises(EmbeddedPostgresError, match="could not access the server configuration file"),
        EmbeddedPostgres(used_data_dir),
    ):
        pass
    assert "an earlier reason" in (used_data_dir / "postgresql.log").read_text()


def test_a_long_log_gives_way_to_a_new_one(used_data_dir: Path) -> None:
    log, before = used_data_dir / "postgresql.log", used_data_dir / "postgresql.log.1"
    for long in ("first\n" * 2**18, "second\n" * 2**18):
        log.write_text(long)
        with EmbeddedPostgres(used_data_dir, NOT_DURABLE):
            pass
        assert before.read_text() == long
        assert "ready to accept connections" in log.read_text()
        assert "\nsecond" not in log.read_text()


def test_a_log_that_is_a_link_is_not_written_to(used_data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (used_data_dir / "postgresql.log").unlink()
    (used_data_dir / "postgresql.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbeddedPostgresError, match=r"postgresql\.log"), EmbeddedPostgres(used_data_dir):
        pass
    assert (tmp_path / "elsewhere").read_text() == ""


def test_the_environment_of_the_owner_does_not_configure_the_server(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SHOW port") == [("5432",)]


def test_a_crowd_of_starts_leaves_one_owner(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE):
        pass
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OWNER, data_dir], cwd=BACKEND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
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


def test_a_connection_is_possible_as_soon_as_the_block_is_entered(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        psycopg2.connect(host=postgres.url.query["host"], user="postgres", dbname="postgres").close()


def test_a_server_that_ends_by_itself_is_started_again(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        killed = postgres.pid
        os.kill(killed, signal.SIGKILL)
        look = partial(execute, postgres.url, "SELECT answer FROM kept")
        assert wait_until(look, not_yet=(OperationalError,)) == [(42,)]
        assert postgres.pid != killed


def test_the_log_of_a_server_that_was_killed_is_kept(used_data_dir: Path) -> None:
    with EmbeddedPostgres(used_data_dir) as postgres:
        execute(postgres.url, "DO $$ BEGIN RAISE LOG 'what came before'; END $$")
        os.kill(postgres.pid, signal.SIGKILL)
        wait_until(lambda: execute(postgres.url, "SELECT 1"), not_yet=(OperationalError,))
        log = (used_data_dir / "postgresql.log").read_text()
    assert log.index("what came before") < log.rindex("ready to accept connections")


@pytest.mark.parametrize("how", [None, signal.SIGKILL], ids=["running", "killed"])
def test_a_server_whose_socket_directory_was_cleaned_away_comes_back(
    used_data_dir: Path, how: signal.Signals | None
) -> None:
    with EmbeddedPostgres(used_data_dir) as postgres:
        before = postgres.pid
        shutil.rmtree(postgres.socket_dir)
        if how is not None:
            os.kill(before, how)
        wait_until(lambda: execute(postgres.url, "SELECT 1"), not_yet=(OperationalError,))
        assert postgres.pid != before
        assert postgres.socket_dir.stat().st_mode & 0o777 == 0o700
        if how is None:
            # It was stopped, and did not crash.
            assert "not properly shut down" not in (used_data_dir / "postgresql.log").read_text()


def test_a_socket_directory_that_somebody_else_put_in_its_place_is_not_used(
    used_data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedPostgres(used_data_dir) as postgres:
        shutil.rmtree(postgres.socket_dir)
        postgres.socket_dir.symlink_to(tmp_path)
        os.kill(postgres.pid, signal.SIGKILL)
        wait_until(lambda: "belongs to another account" in caplog.text)
        assert list(tmp_path.iterdir()) == []
        postgres.socket_dir.unlink()
        wait_until(lambda: execute(postgres.url, "SELECT 1"), not_yet=(OperationalError,))


@pytest.mark.parametrize(("workers", "pool_size", "connections"), [(8, 20, 180), (1, 200, 220), (1, 20, 100)])
def test_there_is_a_connection_for_every_process_and_some_for_people(
    used_data_dir: Path, workers: int, pool_size: int, connections: int
) -> None:
    settings = Settings(_env_file=None, data_dir=used_data_dir, workers=workers, database_pool_size=pool_size)
    with provided_database(settings) as (ready, _):
        assert execute(ready.require_database_url(), "SHOW max_connections") == [(str(connections),)]
