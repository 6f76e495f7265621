"""The benchmarks compare like with like: every side gives the same answers to every kind of work."""

import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from rich.progress import Progress
from sqlalchemy import URL, Row

from tests.support.client import Api
from tests.support.databases import execute
from tests.support.waiting import PATIENCE_S, wait_until

pytest.importorskip("asyncpg", reason="needs asyncpg: pip install -r requirements-test.txt")
pytest.importorskip("orjson", reason="needs orjson: pip install -r requirements-test.txt")

from benchmarks.comparison import SIDES
from benchmarks.data import fill
from benchmarks.listener_client import SAMPLE
from benchmarks.listeners import listening
from benchmarks.load import Work, send_requests
from benchmarks.sides import SERVICE, serve
from benchmarks.works import WORKS

TASKS = 128
# With several, one may reopen a task before another completes it, and then neither changes anything.
CALLERS = 1

# The API shows times in UTC. In `changes`, the others may keep them as PostgreSQL or Python writes them.
A_TIME = r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)"


def shape_of(body: Any) -> Any:
    """Return an answer, or the changes in an entry, with ids and times replaced by question marks."""
    if isinstance(body, dict):
        return {name: shape_of(value) for name, value in body.items()}
    if isinstance(body, list):
        return [shape_of(value) for value in body]
    return re.sub(rf"[0-9a-f-]{{36}}|{A_TIME}", "?", body) if isinstance(body, str) else body


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (apt-get install wrk)")
def test_all_sides_answer_every_kind_of_work_alike(empty_database: Callable[[], URL]) -> None:
    works = [work for works in WORKS.values() for work in works]
    answers: dict[str, list[Any]] = {}
    for side, make_schema in SIDES:
        url = empty_database()
        make_schema(url)
        fill(url, TASKS, Progress(disable=True), counted=side is SERVICE)
        with serve(side, url) as server:
            filled = {entry.history_id for entry in entries_in(url)}
            answers[side.name] = [shape_of(answer(server.address, work).json()) for work in works]
            answers[side.name] += [
                shape_of(entry.changes) for entry in entries_in(url) if entry.history_id not in filled
            ]
            # Each block of request.lua begins with completions, so every task must be incomplete.
            execute(url, "UPDATE tasks SET is_completed = false, completed_at = NULL")
            for work in works:
                if work.method != "GET" or "{" in work.path:
                    assert_every_write_is_a_change(side.name, server.address, url, work)
    for name, theirs in answers.items():
        assert theirs == answers[SERVICE.name], name


def assert_every_write_is_a_change(side: str, address: str, url: URL, work: Work) -> None:
    before = len(entries_in(url))
    seen = send_requests(address, work, tasks=TASKS, callers=CALLERS, seconds=1)
    changes = len(entries_in(url)) - before
    assert seen.failures == 0
    # The service finishes requests that were in flight when wrk ended, this time or the time before; wrk does not
    # count them as answered.
    expected = range(seen.answers, seen.answers + 2 * CALLERS + 1) if work.method != "GET" else [0]
    assert changes in expected, (side, work, changes, seen)


def entries_in(url: URL) -> Sequence[Row[Any]]:
    return execute(url, "SELECT history_id, changes FROM task_history ORDER BY action_type, timestamp")


def answer(address: str, work: Work) -> httpx.Response:
    path = re.sub("{(id|turn|toggled)}", "00000000-0000-4000-8000-000000000001", work.path).format(toggle="complete")
    headers = {"Content-Type": "application/json"}
    response = httpx.request(work.method, address + path, content=work.body, headers=headers, timeout=PATIENCE_S)
    assert response.is_success, response.text
    return response


def test_the_listeners_are_told_of_each_change(database_url: URL) -> None:
    with (
        serve(SERVICE, database_url) as server,
        listening(server.address, 2 * SAMPLE) as listeners,
        Api(server.address) as api,
    ):
        for _ in range(2):
            api.create_task()
            measured = 0

            def both_have_it() -> bool:
                nonlocal measured
                measured += int(listeners.seen()["measured"])
                return measured >= 2

            wait_until(both_have_it)
            assert measured == 2
