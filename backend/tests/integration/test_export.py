"""Exports as streams: whole or noticeably cut, of one snapshot, in bounded memory."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import URL

from tests.support.client import Api, Json, data_of
from tests.support.databases import AS_REPLICA, Sql, environment_of, execute
from tests.support.export_readers import READERS, Reader
from tests.support.exports import LONG_MB, export, fill, items_of_ndjson
from tests.support.service import MAIN, Service, running
from tests.support.waiting import wait_until

MEGABYTE = 2**20
EACH_KIND = [("/history", "csv"), ("/tasks", "ndjson")]

END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@pytest.mark.parametrize("reader", READERS)
def test_a_caller_knows_a_whole_export(api: Api, sql: Sql, reader: Reader) -> None:
    fill(sql)
    with reader(f"{api.base_url}/tasks?format=csv") as finish:
        assert finish()


@pytest.mark.parametrize(("path", "file_format"), EACH_KIND)
@pytest.mark.parametrize("reader", READERS)
def test_a_caller_notices_that_the_database_was_lost(
    api: Api, sql: Sql, path: str, file_format: str, reader: Reader
) -> None:
    fill(sql)
    with reader(f"{api.base_url}{path}?format={file_format}") as finish:
        assert sql(END_SESSIONS)
        assert not finish()
    # The service has lost one connection, and works.
    data_of(api.get("/tasks?limit=1"))
    assert export(api, path, file_format).count("\n") >= LONG_MB * 256


@pytest.mark.parametrize("reader", READERS)
def test_a_caller_notices_that_the_service_was_killed(database_url: URL, sql: Sql, reader: Reader) -> None:
    fill(sql)
    with (
        running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, _),
        reader(f"http://127.0.0.1:{service.port}/history?format=ndjson") as finish,
    ):
        service.process.kill()
        service.wait()
        assert not finish()


@contextmanager
def writers(url: URL, statement: str) -> Iterator[Callable[[], int]]:
    """Run a statement on four threads, each with its `number`, until the block ends; yield the number of commits."""
    stop, commits = threading.Event(), [0] * 4

    def write(number: int) -> None:
        while not stop.is_set():
            execute(url, statement, number=number)
            commits[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(commits)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def read_slowly(api: Api, path: str, commits: Callable[[], int]) -> list[Json]:
    """Read an export as NDJSON, and let writers commit after its first part."""
    with api.stream("GET", path, params={"format": "ndjson"}) as response:
        chunks = response.iter_bytes()
        content = next(chunks)
        enough = commits() + 40
        wait_until(lambda: commits() >= enough)
        content += b"".join(chunks)
    return items_of_ndjson(content.decode())


def test_an_export_of_the_history_is_of_one_moment(api: Api, sql: Sql, database_url: URL) -> None:
    """Each transaction writes two entries of a task, one at each end of the log."""
    fill(sql)
    two = (
        f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), task_id, 'UPDATED', 'Two ' || :number, at"
        " FROM (SELECT gen_random_uuid() AS task_id) AS task,"
        " (VALUES (timestamptz '2000-01-01Z'), (timestamptz '2100-01-01Z')) AS end_of_log (at)"
    )
    with writers(database_url, two) as commits:
        wait_until(lambda: commits() >= 10)
        for _ in range(3):
            before = commits()
            entries = read_slowly(api, "/history", commits)
            twos = Counter(entry["task_id"] for entry in entries if entry["action_type"] == "UPDATED")
            assert set(twos.values()) == {2}
            assert len(twos) >= before
            times = [entry["timestamp"] for entry in entries]
            assert times == sorted(times, reverse=True)


def test_an_export_of_tasks_is_of_one_moment(api: Api, sql: Sql, database_url: URL) -> None:
    """Each transaction completes one task of a pair and reopens the other, so both move past the whole list."""
    fill(sql)
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Pair ' || number, NULL, is_first, at, at,"
        " CASE WHEN is_first THEN at END FROM generate_series(0, 3) AS number,"
        " (VALUES (true, timestamptz '2000-01-01Z'), (false, timestamptz '2100-01-01Z')) AS task (is_first, at)"
    )
    swap = (
        "UPDATE tasks SET is_completed = NOT is_completed, completed_at = CASE WHEN NOT is_completed THEN now() END"
        " WHERE title = 'Pair ' || :number"
    )
    with writers(database_url, swap) as commits:
        for _ in range(3):
            tasks = read_slowly(api, "/tasks", commits)
            assert len({task["id"] for task in tasks}) == len(tasks) == LONG_MB * 256 + 8
            pairs = Counter(task["title"] for task in tasks if task["title"] != "Task" and task["is_completed"])
            assert pairs == {f"Pair {number}": 1 for number in range(4)}


def resident_memory(service: Service) -> int:
    processes = [psutil.Process(service.process.pid), *service.family()]
    return sum(process.memory_info().rss for process in processes)


def most_memory_during(service: Service, api: Api, path: str, file_format: str) -> tuple[int, int]:
    """Return the most memory that the service had during an export, and the number of its lines."""
    most, lines = 0, 0
    with api.stream("GET", path, params={"format": file_format}) as response:
        for number, chunk in enumerate(response.iter_raw()):
            lines += chunk.count(b"\n")
            if number % 20 == 0:
                most = max(most, resident_memory(service))
    return most, lines


def test_the_memory_for_an_export_does_not_grow_with_its_length(database_url: URL, sql: Sql) -> None:
    fill(sql, megabytes=100)
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        for path, file_format in EACH_KIND:
            export(api, path, file_format, q=str(uuid4()))
        before = resident_memory(service)
        for path, file_format in EACH_KIND:
            most, lines = most_memory_during(service, api, path, file_format)
            assert lines == 25_600 + (file_format == "csv")
            assert most - before < 32 * MEGABYTE, (path, file_format)
