"""Directories for the data of a test's own PostgreSQL, in memory if there is room."""

import atexit
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres

# For tests that kill processes but no machine: a killed process loses nothing that it has written, so
# fsync would only cost time.
FSYNC_OFF = {"fsync": "off"}


@contextmanager
def memory_dir() -> Iterator[Path]:
    """Yield a path that does not exist yet, for data that the test throws away."""
    memory = Path("/dev/shm")  # noqa: S108
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    path = (memory if has_room else Path(tempfile.gettempdir())) / f"task-backend-test-{secrets.token_hex(4)}"
    try:
        yield path
    finally:
        # A killed server leaves its socket behind.
        for directory in (path, EmbeddedPostgres(path).socket_dir):
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def cluster_dir() -> Iterator[Path]:
    """Yield a path like `memory_dir`'s that holds a freshly made cluster. A copy is quicker than initdb."""
    with memory_dir() as path:
        subprocess.run(["cp", "-a", _new_cluster(), path], check=True)  # noqa: S607
        yield path


@cache
def _new_cluster() -> Path:
    """Make the cluster that `cluster_dir` copies. It is deleted when the process exits."""
    kept = ExitStack()
    atexit.register(kept.close)
    path = kept.enter_context(memory_dir())
    with EmbeddedPostgres(path, NOT_DURABLE):
        return path
