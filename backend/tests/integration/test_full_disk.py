"""A full disk under the embedded PostgreSQL: reads go on, changes wait for room, and nothing acknowledged is lost."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from src.database.search_indexes import INDEXES
from src.embedded_postgres.server import EmbeddedPostgres
from tests.support.client import Api, data_of, error_of
from tests.support.clusters import cluster_dir
from tests.support.databases import execute
from tests.support.service import MAIN, running
from tests.support.waiting import wait_until

FULL = "The disk of the database is full"
LOGGED = "No space left on device"
VALID_SEARCH_INDEXES = f"SELECT FROM pg_index WHERE indisvalid AND indexrelid::regclass::text IN {tuple(INDEXES)}"


class SmallDisk:
    """A filesystem of its own, with a data directory on it."""

    def __init__(self, root: Path) -> None:
        self.data_dir = root / "data"
        self.url = EmbeddedPostgres(self.data_dir).url
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        # A build of an index that finds no room would give back what it has taken.
        wait_until(lambda: len(execute(self.url, VALID_SEARCH_INDEXES)) == len(INDEXES))
        with self._ballast.open("ab", buffering=0) as file:
            for size in (2**16, 2**9):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def make_room(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root, to mount a small filesystem")
    # Another account runs the server, so every directory above must let it in.
    root = Path(tempfile.mkdtemp(dir="/var/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128m,mode=755", "tmpfs", root],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        root.rmdir()
        pytest.skip(f"needs to mount a small filesystem: {mounted.stderr.strip()}")
    try:
        disk = SmallDisk(root)
        with cluster_dir() as cluster:
            subprocess.run(["cp", "-a", cluster, disk.data_dir], check=True)  # noqa: S607
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)  # noqa: S607
        root.rmdir()


def fill_up(api: Api) -> list[str]:
    """Create tasks until one is refused. Return the ids of the others."""
    created = []
    while (answer := api.post("/tasks", json={"title": "x", "description": secrets.token_hex(2500)})).is_success:
        created.append(answer.json()["data"]["id"])
    assert "not available" in error_of(answer, 503)
    return created


def use_up_wal(url: URL) -> None:
    """Write to one segment of WAL after the other, until there is no room for the next."""
    for number in range(100):
        execute(url, f"SELECT pg_create_restore_point('{number}'), pg_switch_wal()")


def test_writes_fail_on_a_full_disk_and_work_again_when_there_is_room(disk: SmallDisk) -> None:
    with running(MAIN, DATA_DIR=str(disk.data_dir)) as (service, api):
        created = [api.create_task()["id"]]
        assert data_of(api.get("/health/ready")) == {"status": "ready"}
        disk.fill()
        created += fill_up(api)
        service.wait_for(LOGGED)
        assert error_of(api.get("/health/ready"), 503) == FULL
        assert {task["id"] for task in api.list_tasks()} == set(created)
        assert api.stats()["total_tasks"] == len(created)
        disk.make_room()
        wait_until(lambda: api.get("/health/ready").is_success)
        created.append(api.create_task()["id"])
        assert {task["id"] for task in api.list_tasks()} == set(created)


@pytest.mark.parametrize("by_a_change", [True, False], ids=["found full by a change", "found full by PostgreSQL"])
def test_a_server_that_stopped_because_its_wal_could_not_grow_comes_back(disk: SmallDisk, *, by_a_change: bool) -> None:
    with running(MAIN, DATA_DIR=str(disk.data_dir), REPEAT_BUDGET_S="0.5") as (service, api):
        created = [api.create_task()["id"]]
        disk.fill()
        if by_a_change:
            created += fill_up(api)
        with pytest.raises(OperationalError):
            use_up_wal(disk.url)
        service.wait_for("PostgreSQL did not start")
        error_of(api.post("/tasks", json={"title": "x"}), 503)
        assert error_of(api.get("/health/ready"), 503) == FULL
        disk.make_room()
        wait_until(lambda: api.get("/health/ready").is_success)
        created.append(api.create_task()["id"])
        assert {task["id"] for task in api.list_tasks()} == set(created)
