"""The log of the embedded PostgreSQL, which may not fill the disk over the years."""

import re
from pathlib import Path

import pytest

from src.embedded_postgres.programs import EmbeddedPostgresError
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from tests.support.databases import execute
from tests.support.waiting import wait_until

# Each of the lines has about 1 KiB.
LINES = "DO $$ BEGIN FOR number IN 1..{} LOOP RAISE LOG 'line % %', number, repeat('x', 1000); END LOOP; END $$"
SHORT, BOTH = 768 * 1024, 2**21


def is_short(log: Path) -> bool:
    return log.stat().st_size < SHORT


def numbers_in(*logs: Path) -> list[int]:
    return [int(number) for log in logs for number in re.findall(r"LOG:  line (\d+)", log.read_text())]


def test_a_long_log_is_rotated_at_start(data_dir: Path) -> None:
    log, before = data_dir / "postgresql.log", data_dir / "postgresql.log.1"
    for long in ("first\n" * 2**18, "second\n" * 2**18):
        log.write_text(long)
        with EmbeddedPostgres(data_dir, NOT_DURABLE):
            pass
        assert before.read_text() == long
        assert "ready to accept connections" in log.read_text()
        assert "\nsecond" not in log.read_text()


def test_a_log_that_grows_long_is_rotated_while_the_server_runs(data_dir: Path) -> None:
    """One last line makes it too long. A line that is written in the moment of the copy may be lost."""
    log, before = data_dir / "postgresql.log", data_dir / "postgresql.log.1"
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        execute(postgres.url, LINES.format(600))
        execute(postgres.url, f"DO $$ BEGIN RAISE LOG '%', repeat('x', {SHORT - log.stat().st_size - 1000}); END $$")
        assert not before.exists()
        execute(postgres.url, LINES.format(1))
        wait_until(lambda: is_short(log))
        execute(postgres.url, LINES.format(1))
        assert numbers_in(before, log) == [*range(1, 601), 1, 1]


def test_of_a_flood_the_newest_lines_are_kept(data_dir: Path) -> None:
    log, before = data_dir / "postgresql.log", data_dir / "postgresql.log.1"
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        execute(postgres.url, LINES.format(5000))
        wait_until(lambda: is_short(log))
        assert log.stat().st_size + before.stat().st_size < BOTH
        kept = numbers_in(before, log)
        assert kept
        assert kept == sorted(kept)
        assert kept[0] > 1


def test_a_rotation_follows_no_link(data_dir: Path, tmp_path: Path) -> None:
    log, before, elsewhere = data_dir / "postgresql.log", data_dir / "postgresql.log.1", tmp_path / "elsewhere"
    elsewhere.touch()
    before.symlink_to(elsewhere)
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        execute(postgres.url, LINES.format(900))
        wait_until(lambda: is_short(log))
    assert not before.is_symlink()
    assert elsewhere.read_text() == ""


def test_a_log_that_is_a_symbolic_link_is_refused(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (data_dir / "postgresql.log").unlink()
    (data_dir / "postgresql.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbeddedPostgresError, match=r"postgresql\.log"), EmbeddedPostgres(data_dir):
        pass
    assert (tmp_path / "elsewhere").read_text() == ""
