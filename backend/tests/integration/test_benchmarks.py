"""The benchmarks compare like with like: both sides answer every kind of work, and alike."""

import re
import shutil
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from rich.progress import Progress
from sqlalchemy import URL

from benchmarks.comparison import WORKS, textbook_schema
from benchmarks.data import fill, service_schema
from benchmarks.load import Work, send_requests
from benchmarks.sides import SERVICE, TEXTBOOK, serve
from tests.conftest import execute

TASKS = 128
SIDES = [(SERVICE, service_schema), (TEXTBOOK, textbook_schema)]


def shape_of(body: Any) -> Any:
    """What is in an answer, without ids, times and numbers of this run."""
    if isinstance(body, dict):
        return {name: shape_of(value) for name, value in body.items()}
    if isinstance(body, list):
        return [shape_of(value) for value in body]
    return re.sub(r"[0-9a-f-]{36}|\d{4}-\d\d-\d\dT[\d:.]+Z", "?", body) if isinstance(body, str) else body


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (apt-get install wrk)")
def test_both_sides_answer_every_kind_of_work_alike(empty_database: Callable[[], URL]) -> None:
    works = [work for works in WORKS.values() for work in works]
    answers: dict[str, list[Any]] = {}
    for side, make_schema in SIDES:
        url = empty_database()
        make_schema(url)
        fill(url, TASKS, Progress(disable=True))
        with serve(side, url) as server:
            answers[side.name] = [shape_of(answer(server.address, work).json()) for work in works]
            before = entries_in(url)
            for work in works:
                seen = send_requests(server.address, work, tasks=TASKS, callers=2, seconds=1)
                assert (seen.failures, seen.per_second > 0) == (0, True), (side.name, work)
                changes, before = entries_in(url) - before, entries_in(url)
                # Every write is a change, but for some at the beginning and the end of the run.
                assert changes > 0.8 * seen.per_second if work.method != "GET" else changes == 0, (side.name, work)
    assert answers[SERVICE.name] == answers[TEXTBOOK.name]


def entries_in(url: URL) -> int:
    [row] = execute(url, "SELECT count(*) AS entries FROM task_history")
    return int(row.entries)


def answer(address: str, work: Work) -> httpx.Response:
    path = re.sub("{(id|turn|toggled)}", "00000000-0000-4000-8000-000000000001", work.path).format(toggle="complete")
    headers = {"Content-Type": "application/json"}
    response = httpx.request(work.method, address + path, content=work.body, headers=headers, timeout=30)
    assert response.is_success, response.text
    return response
