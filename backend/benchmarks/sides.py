"""The sides of the comparison, each a server that is started as its users would."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
from sqlalchemy import URL

from config import BACKEND
from tests.support.service import free_port, wait_until_it_answers


class Side(NamedTuple):
    """A program that serves the endpoints on a port, for a database."""

    name: str
    command: list[str]
    workers: int = 1


UVICORN = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--no-access-log"]

SERVICE = Side("service", [sys.executable, "main.py"])
TEXTBOOK = Side("textbook", [*UVICORN, "benchmarks.textbook:app"])
ASYNCPG = Side("asyncpg", [*UVICORN, "benchmarks.raw_asyncpg:app"])
FLOOR = Side("floor", [*UVICORN, "benchmarks.floor:app"])


class Server(NamedTuple):
    """A server that answers at `address`."""

    address: str
    process: psutil.Process


@contextmanager
def serve(side: Side, database: URL) -> Iterator[Server]:
    """Run `side` on `database` until the block is left."""
    port = str(free_port())
    command = side.command
    if "uvicorn" in command:
        command = [*command, "--port", port, "--workers", str(side.workers)]
    url = database.render_as_string(hide_password=False)
    process = subprocess.Popen(
        command,
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": url, "PORT": port, "WORKERS": str(side.workers)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_it_answers(address, process)
        yield Server(address, psutil.Process(process.pid))
    finally:
        # Killed, because the textbook would spend half a minute on requests that nobody waits for any more.
        for worker in psutil.Process(process.pid).children(recursive=True):
            worker.kill()
        process.kill()
        process.wait()
