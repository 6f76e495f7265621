"""Generates the load: as many requests from wrk as a side can answer, or statements from pgbench."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import AsIs
from sqlalchemy import URL

from src.database.connection import connect_arguments
from src.database.statement import Statement
from src.embedded_postgres.programs import programs_for
from tests.support.databases import settings_for

SCRIPT = Path(__file__).with_name("request.lua")
TASK_ID = "('00000000-0000-4000-8000-' || lpad(({})::text, 12, '0'))::uuid"


# Each run starts beyond the turns of all earlier runs, at the beginning of a block of request.lua.
_first_turns = count(128_000, 128_000)


class Work(NamedTuple):
    """One kind of request. The path and the body may have placeholders, which request.lua fills in."""

    name: str
    path: str
    method: str = "GET"
    body: str = ""


class Answers(NamedTuple):
    """The result of a run of wrk."""

    answers: int
    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


def is_named(name: str, only: Sequence[str]) -> bool:
    """Whether one of `only` is a part of `name`, regardless of case."""
    return any(part.lower() in name.lower() for part in only)


def wrk() -> str:
    """Return the path of wrk, or exit with a sentence on how to install it."""
    return shutil.which("wrk") or sys.exit("The benchmark needs wrk: apt-get install wrk, or brew install wrk.")


def send_requests(address: str, work: Work, *, tasks: int, callers: int, seconds: int) -> Answers:
    """Let `callers` repeat `work` for `seconds`, each as soon as it has its response."""
    done = subprocess.run(
        [
            *(wrk(), "--threads", "1", "--connections", str(callers), "--duration", f"{seconds}s"),
            *("--timeout", "60s", "--script", str(SCRIPT), address),
            *("--", work.method, work.path, work.body, str(tasks), str(next(_first_turns))),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    return Answers(
        seen["requests"], seen["requests"] / seen["seconds"], seen["p50_ms"], seen["p99_ms"], seen["failures"]
    )


def run_statements(
    url: URL, statements: Sequence[Statement], parameters: Mapping[str, Any], *, tasks: int, seconds: int
) -> float:
    """Return how many statements per second pgbench runs. It sends `statements` in turn, as the service sends them.

    A parameter may be SQL (`AsIs`), in which `:number` stands for the number of a random task.
    """
    connection = psycopg2.connect(**connect_arguments(settings_for(url)))
    cursor = connection.cursor()

    def line(sql: str) -> str:
        return " ".join(cursor.mogrify(sql, parameters).decode().split("\n"))

    # Each client prepares them once.
    lines = ["\\if :prepared = 0"]
    lines += [line(statement.prepare_sql) for statement in statements]
    lines += ["\\set prepared 1", "\\endif", f"\\set number random(1, {tasks})"]
    # One message, as the service sends it: `\\;` does not end a message.
    for statement in statements:
        message = f"SET LOCAL statement_timeout = 15000; {statement.execute_sql}".replace("; ", "\\; ")
        lines.append(f"{line(message)};")
    connection.close()
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write("\n".join(lines) + "\n")
        script.flush()
        done = subprocess.run(
            [
                *(programs_for(None) / "pgbench", "--no-vacuum", "--client", "32", "--jobs", "1"),
                *("--define", "prepared=0"),
                *("--time", str(seconds), "--file", script.name, "--host", str(url.query["host"])),
                *("--port", str(url.query["port"]), "--username", str(url.username), str(url.database)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1]) * len(statements)


def random_task() -> AsIs:
    """Return SQL for the id of a random task, for `run_statements`."""
    return AsIs(TASK_ID.format(":number"))
