"""The embedded PostgreSQL started on the data of an earlier one: recovered, or refused in one sentence."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from src.embedded_postgres.programs import EmbeddedPostgresError
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from tests.support.background import in_background
from tests.support.databases import execute
from tests.support.waiting import wait_until


def test_data_recovers_after_the_server_was_killed(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir) as postgres:
        execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postgres.pid, signal.SIGKILL)
    with EmbeddedPostgres(empty_data_dir) as postgres:
        assert execute(postgres.url, "SELECT answer FROM kept") == [(42,)]


def test_a_start_waits_for_what_a_killed_server_has_left(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        server = psutil.Process(postgres.pid)
        left = server.children()[0]
        left.suspend()
        server.kill()

    def resume(_: threading.Event) -> None:
        wait_until(lambda: "still in use" in (data_dir / "postgresql.log").read_text())
        left.resume()

    with in_background(resume), EmbeddedPostgres(data_dir) as postgres:
        assert execute(postgres.url, "SELECT answer FROM kept") == [(42,)]


def test_an_unrelated_process_with_a_leftover_pid_is_not_killed(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE):
        left = (empty_data_dir / "cluster" / "postmaster.pid").read_text()
    with subprocess.Popen(["sleep", "60"]) as innocent:  # noqa: S607
        (empty_data_dir / "cluster" / "postmaster.pid").write_text(f"{innocent.pid}\n" + left.partition("\n")[2])
        with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
            assert execute(postgres.url, "SELECT 1") == [(1,)]
        assert innocent.poll() is None
        innocent.kill()


def test_an_unfinished_cluster_is_replaced(empty_data_dir: Path) -> None:
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE):
        pass
    (empty_data_dir / "cluster").rename(empty_data_dir / "cluster.unfinished")
    with EmbeddedPostgres(empty_data_dir, NOT_DURABLE) as postgres:
        assert execute(postgres.url, "SELECT 1") == [(1,)]
    assert not (empty_data_dir / "cluster.unfinished").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"\xff\xfe", b"words\n", b"0\n"], ids=["empty", "NULs", "binary", "words", "zero"]
)
def test_lock_files_that_name_no_process_do_not_prevent_a_start(data_dir: Path, content: bytes) -> None:
    """A power loss can leave such files behind."""
    postgres = EmbeddedPostgres(data_dir, NOT_DURABLE)
    cluster = data_dir / "cluster"
    postgres.socket_dir.mkdir(mode=0o700)
    os.chown(postgres.socket_dir, cluster.stat().st_uid, cluster.stat().st_gid)
    for lock_file in (cluster / "postmaster.pid", postgres.socket_dir / ".s.PGSQL.5432.lock"):
        lock_file.write_bytes(content)
    with postgres:
        assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_a_zombie_of_an_earlier_server_does_not_prevent_a_start(data_dir: Path) -> None:
    cluster = data_dir / "cluster"
    # Runs as the server's account; PostgreSQL ignores the pid of a process of any other.
    with subprocess.Popen(["true"], user=cluster.stat().st_uid) as ended:  # noqa: S607
        wait_until(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
        (cluster / "postmaster.pid").write_text(f"{ended.pid}\n")
        with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
            assert execute(postgres.url, "SELECT 1") == [(1,)]


def test_data_that_postgresql_cannot_use_is_refused_in_one_sentence(data_dir: Path) -> None:
    (data_dir / "cluster" / "PG_VERSION").write_text("nonsense\n")
    with (
        pytest.raises(EmbeddedPostgresError, match="is not a valid data directory"),
        EmbeddedPostgres(data_dir),
    ):
        pass


@pytest.mark.parametrize("written", ["9.6", "17", "19"])
def test_data_of_another_version_is_refused_with_both_versions_and_a_way_out(data_dir: Path, written: str) -> None:
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        [(number,)] = execute(postgres.url, "SHOW server_version_num")
    (data_dir / "cluster" / "PG_VERSION").write_text(f"{written}\n")
    with pytest.raises(EmbeddedPostgresError) as raised, EmbeddedPostgres(data_dir):
        pass
    sentence = str(raised.value)
    assert f"written by PostgreSQL {written}, and the embedded PostgreSQL is {int(number) // 10_000}," in sentence
    assert f"run `make backup`, which runs PostgreSQL {written} once more, and then `make restore FILE=`" in sentence


def test_a_failed_start_gives_its_own_reason_not_an_earlier_one(data_dir: Path) -> None:
    (data_dir / "postgresql.log").write_text("FATAL:  an earlier reason\n")
    (data_dir / "cluster" / "postgresql.conf").unlink()
    with (
        pytest.raises(EmbeddedPostgresError, match="could not access the server configuration file"),
        EmbeddedPostgres(data_dir),
    ):
        pass
    assert "an earlier reason" in (data_dir / "postgresql.log").read_text()
