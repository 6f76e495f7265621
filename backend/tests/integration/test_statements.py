"""One request, one statement, one round trip; the indexes that the statements use; and statements.sql."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg2
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from config import BACKEND
from src.database.connection import Rows, connect_arguments
from src.database.database import Database
from src.database.retry import Retry
from src.database.statement import STATEMENTS, LongStatement, Statement
from src.exceptions.errors import EntryNotFound
from src.models import ActionType
from src.services.history_service import HistoryService
from src.services.task_service import TaskService
from src.utils.cursors import EntryPosition, TaskPosition
from src.utils.json_text import JsonFile
from tests.support.client import Api, Json
from tests.support.databases import AS_REPLICA, execute, settings_for
from tests.support.live_server import close_database
from tests.support.proxy import Proxy


@pytest.fixture
def messages(live_app: tuple[FastAPI, str], database_url: URL, api: Api) -> Iterator[list[str]]:
    """What the service sends to the database, on the wire."""
    app, _ = live_app
    proxy = Proxy(database_url)
    with proxy.running() as url:
        database = app.state.database = Database(settings_for(url, database_pool_size=1))
        yield proxy.messages
        close_database(database, app)


KEY = {"Idempotency-Key": "a"}
OTHER_TAG = {"If-Match": '"other"'}
# The method, the path, the body and the headers. `{id}` is a task's, and `{entry}` that of its creation's entry.
REQUESTS: dict[str, tuple[Any, ...]] = {
    "create": ("POST", "/tasks", {"title": "x"}),
    "list": ("GET", "/tasks", None),
    "get": ("GET", "/tasks/{id}", None),
    "update": ("PUT", "/tasks/{id}", {"title": "Other", "description": "Other"}),
    "update nothing": ("PUT", "/tasks/{id}", {"title": "Buy groceries"}),
    "complete": ("PATCH", "/tasks/{id}/complete", None),
    "incomplete": ("PATCH", "/tasks/{id}/incomplete", None),
    "delete": ("DELETE", "/tasks/{id}", None),
    "page of tasks": ("GET", "/tasks?limit=1&is_completed=false", None),
    "next page of tasks": ("GET", f"/tasks?cursor=f{'0' * 48}", None),
    "history": ("GET", "/history?page=200", None),
    "history of a task": ("GET", "/history?task_id={id}&action_type=CREATED&page=2&limit=5", None),
    "next page of the history": ("GET", f"/history?cursor={'0' * 48}", None),
    "ready": ("GET", "/health/ready", None),
    "stats": ("GET", "/stats/weekly", None),
    "stats of a week": ("GET", "/stats/weekly?date=2026-11-18&tz=Asia/Kathmandu", None),
    "stats of a week long ago": ("GET", "/stats/weekly?date=1971-06-01&tz=Africa/Monrovia", None),
    "stats of days": ("GET", "/stats/daily?from=2025-11-18&to=2026-11-18&tz=Europe/Berlin", None),
    "stats of the last days": ("GET", "/stats/daily", None),
    "not found": ("PATCH", f"/tasks/{uuid4()}/complete", None),
    "get again": ("GET", "/tasks/{id}", None, {"If-None-Match": "*"}),
    "create with a key": ("POST", "/tasks", {"title": "x"}, KEY),
    "update with a key": ("PUT", "/tasks/{id}", {"title": "x"}, KEY),
    "complete with a key": ("PATCH", "/tasks/{id}/complete", None, KEY),
    "delete with a key": ("DELETE", "/tasks/{id}", None, KEY),
    "update what another has changed": ("PUT", "/tasks/{id}", {"title": "x"}, OTHER_TAG),
    "delete what another has changed": ("DELETE", "/tasks/{id}", None, OTHER_TAG),
    "entry": ("GET", "/history/{entry}", None),
    "no entry": ("GET", f"/history/{uuid4()}", None),
    "undo": ("POST", "/history/{entry}/undo", None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_round_trip(api: Api, messages: list[str], name: str) -> None:
    status_code = sent(api, messages, api.create_task(), REQUESTS[name])
    assert status_code in (200, 201, 304, 404, 412)
    # A single query, and nothing to check, begin, commit, or reset the connection.
    assert messages == ["Q"]


def sent(api: Api, messages: list[str], task: Json, request: tuple[Any, ...]) -> int:
    """Forget all messages, send a request, and return its status."""
    method, path, body, *headers = request
    entry = api.history_of(task["id"])[0]["history_id"]
    messages.clear()
    return api.request(method, path.format(id=task["id"], entry=entry), json=body, headers=dict(*headers)).status_code


UNDO = REQUESTS["undo"]
# What may have been done before is looked up with a second query. So are the reasons why an undo did nothing.
REPEATS: dict[str, tuple[list[tuple[Any, ...]], tuple[Any, ...], int]] = {
    # The requests before, the request, and its status.
    "create": ([REQUESTS["create with a key"]], REQUESTS["create with a key"], 201),
    "create another": ([REQUESTS["create with a key"]], ("POST", "/tasks", {"title": "Other"}, KEY), 422),
    "update": ([REQUESTS["update with a key"]], REQUESTS["update with a key"], 200),
    "complete": ([REQUESTS["complete with a key"]], REQUESTS["complete with a key"], 200),
    "delete": ([REQUESTS["delete with a key"]], REQUESTS["delete with a key"], 200),
    "update nothing with a key": ([], ("PUT", "/tasks/{id}", {"title": "Buy groceries"}, KEY), 200),
    "update what another has changed": ([], ("PUT", "/tasks/{id}", {"title": "x"}, KEY | OTHER_TAG), 412),
    "not found": ([], ("DELETE", f"/tasks/{uuid4()}", None, KEY), 404),
    "undo": ([UNDO], UNDO, 200),
    "undo what has changed since": ([REQUESTS["update"]], UNDO, 409),
    "undo no entry": ([], ("POST", f"/history/{uuid4()}/undo", None), 404),
}


@pytest.mark.parametrize("name", REPEATS)
def test_a_repeat_is_two_round_trips(api: Api, messages: list[str], name: str) -> None:
    task = api.create_task()
    before, request, status_code = REPEATS[name]
    for each in before:
        assert sent(api, messages, task, each) in (200, 201)
    assert sent(api, messages, task, request) == status_code
    assert messages == ["Q", "Q"]


@pytest.mark.parametrize("path", ["/health", "/nope", "/tasks/42", "/history?page=0", "/openapi.json", "/history/42"])
def test_a_request_that_needs_no_data_does_not_reach_the_database(api: Api, messages: list[str], path: str) -> None:
    api.get("/tasks")
    messages.clear()
    api.get(path)
    assert messages == []


@pytest.fixture(scope="module")
def many_rows(clone: Callable[[], AbstractContextManager[URL]]) -> Iterator[tuple[URL, UUID]]:
    """A database of 20,000 tasks of 200 weeks and 60,000 history entries, and one task's id."""
    with clone() as url:
        yield url, fill(url)


def fill(url: URL) -> UUID:
    execute(
        url,
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Task ' || number, NULL, number % 3 = 0, at, at,"
        " CASE WHEN number % 3 = 0 THEN at END"
        " FROM generate_series(1, 20000) number, LATERAL (SELECT now() - number * interval '100 minutes' AS at) moment",
    )
    execute(
        url,
        f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), id, action, 'x', created_at, title"
        " FROM tasks, unnest(ARRAY['CREATED', 'UPDATED', 'COMPLETED']) action",
    )
    execute(url, "VACUUM ANALYZE tasks, task_history")
    [row] = execute(url, "SELECT id FROM tasks LIMIT 1")
    task_id: UUID = row.id
    return task_id


# In the title of one task of `many_rows`.
A_WORD = "12345"
A_DAY_AGO = datetime.now(UTC) - timedelta(days=1)
CURSOR = EntryPosition("2026-01-01T00:00:00.000000Z", UUID("0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"))


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (lambda tasks, history, task_id: tasks.get_task(task_id), "pk_tasks"),
        (lambda tasks, history, task_id: tasks.mark_complete(task_id), "pk_tasks"),
        (lambda tasks, history, task_id: history.get_entry(task_id), "pk_task_history"),
        (lambda tasks, history, task_id: tasks.undo(task_id), "pk_task_history"),
        (lambda tasks, history, task_id: tasks.create_task("x", None, "key"), "pk_task_history"),
        (lambda tasks, history, task_id: tasks.get_all_tasks(), "ix_tasks_is_completed_created_at_id"),
        (lambda tasks, history, task_id: tasks.get_tasks_paginated(10), "ix_tasks_is_completed_created_at_id"),
        (
            lambda tasks, history, task_id: tasks.get_tasks_paginated(10, TaskPosition(True, *CURSOR)),
            "ix_tasks_is_completed_created_at_id",
        ),
        (lambda tasks, history, task_id: history.get_weekly_stats(), "uq_counts_day_kind"),
        (lambda tasks, history, task_id: history.get_daily_stats(), "uq_counts_day_kind"),
        (lambda tasks, history, task_id: history.get_history_paginated(), "ix_task_history_timestamp_history_id"),
        (
            lambda tasks, history, task_id: history.get_history_paginated(page=4000),
            "ix_task_history_timestamp_history_id",
        ),
        (
            lambda tasks, history, task_id: history.get_history_paginated(action_type=ActionType.UPDATED),
            "ix_task_history_action_type_timestamp_history_id",
        ),
        (
            lambda tasks, history, task_id: history.get_history_paginated(task_id=task_id),
            "ix_task_history_task_id_timestamp_history_id",
        ),
        (
            lambda tasks, history, task_id: history.get_history_paginated(after=CURSOR),
            "ix_task_history_timestamp_history_id",
        ),
        (lambda tasks, history, task_id: tasks.get_all_tasks(query=A_WORD), "ix_tasks_text"),
        (lambda tasks, history, task_id: tasks.get_tasks_paginated(10, query=A_WORD), "ix_tasks_text"),
        (
            lambda tasks, history, task_id: history.get_history_paginated(query=A_WORD, since=A_DAY_AGO),
            "ix_task_history_text",
        ),
        (
            lambda tasks, history, task_id: history.get_history_paginated(since=A_DAY_AGO),
            "ix_task_history_timestamp_history_id",
        ),
        (
            lambda tasks, history, task_id: history.get_history_paginated(
                action_type=[ActionType.CREATED, ActionType.DELETED], until=A_DAY_AGO
            ),
            "ix_task_history_action_type_timestamp_history_id",
        ),
        (
            lambda tasks, history, task_id: history.get_history_paginated(task_id=task_id, since=A_DAY_AGO),
            "ix_task_history_task_id_timestamp_history_id",
        ),
    ],
)
async def test_a_statement_reads_by_its_index(many_rows: tuple[URL, UUID], call: Any, index: str) -> None:
    url, task_id = many_rows
    database = ExplainedDatabase(settings_for(url))
    # No entry has the id of the task.
    with suppress(EntryNotFound):
        answer = await call(TaskService(database), HistoryService(database), task_id)
        if isinstance(answer, JsonFile):
            answer.close()
    database.close()

    assert index in database.plan
    assert "Seq Scan on task" not in database.plan, database.plan


@pytest.mark.parametrize("query", ["++", "____", "😀😀😀"])
async def test_a_word_without_a_trigram_does_not_read_the_whole_index(many_rows: tuple[URL, UUID], query: str) -> None:
    url, _ = many_rows
    database = ExplainedDatabase(settings_for(url))
    await TaskService(database).get_tasks_paginated(10, query=query)
    await HistoryService(database).get_history_paginated(query=query)
    database.close()

    assert "_text" not in database.plan.replace("::text", "")


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"action_type": ActionType.DELETED}, "ix_task_history_action_type_timestamp_history_id"),
        ({"task_id": uuid4()}, "ix_task_history_task_id_timestamp_history_id"),
        ({"task_id": uuid4(), "action_type": ActionType.DELETED}, "ix_task_history_task_id_timestamp_history_id"),
    ],
)
@pytest.mark.parametrize("place", [{}, {"page": 200}, {"after": CURSOR}])
async def test_a_page_of_a_rare_value_is_not_looked_for_by_the_time(
    clone: Callable[[], AbstractContextManager[URL]], filters: Any, place: Any, index: str
) -> None:
    with clone() as url:
        # To the planner, which does not see the value, each is as common as the two that there are.
        execute(
            url,
            f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), md5((number % 2)::text)::uuid,"
            " CASE number % 2 WHEN 0 THEN 'CREATED' ELSE 'UPDATED' END, 'x', now() - number * interval '1 minute'"
            " FROM generate_series(1, 20000) number",
        )
        execute(url, "VACUUM ANALYZE task_history")
        database = ExplainedDatabase(settings_for(url))
        await HistoryService(database).get_history_paginated(**filters, **place)
        database.close()

    [_, _, page] = database.plan.partition("Limit")
    scan = next(line for line in page.splitlines() if "task_history" in line)
    assert f"Index Scan using {index}" in scan, database.plan


class ExplainedDatabase(Database):
    """Notes the plans of the statements that it runs."""

    plan = ""

    async def _run(self, statement: Statement, parameters: Mapping[str, Any], retry: Retry) -> Rows:
        await self._explain(statement, parameters)
        return await super()._run(statement, parameters, retry)

    async def collect(self, statement: LongStatement, parameters: Mapping[str, Any] | None = None) -> JsonFile:
        await self._explain(statement.beginning, parameters or {})
        return await super().collect(statement, parameters)

    async def _explain(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        connection = await self.pool.acquire()
        as_it_runs = f"BEGIN; {self._limit}{statement.prepare_sql}"
        explain = statement.execute_sql.replace("EXECUTE ", "EXPLAIN EXECUTE ")
        lines = await connection.run(as_it_runs + explain, parameters)
        await connection.run("ROLLBACK; DEALLOCATE ALL")
        self.plan += "".join(f"{line}\n" for (line,) in lines)
        self.pool.release(connection)


def formatter() -> ModuleType:
    """The script that writes statements.sql."""
    missing = "needs pglast: pip install -r requirements-test.txt"
    return cast(ModuleType, pytest.importorskip("statements", reason=missing, exc_type=ImportError))


def test_statements_sql_shows_the_statements_that_are_sent() -> None:
    formatter()
    shown = subprocess.run([sys.executable, "statements.py"], cwd=BACKEND, capture_output=True, text=True, check=True)
    assert (BACKEND / "statements.sql").read_text() == shown.stdout, "run `make statements`"


SHOWN = re.findall(r"^-- (\w+)\n-- ", (BACKEND / "statements.sql").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", SHOWN)
def test_a_statement_is_planned_alike_as_it_is_shown_and_as_it_is_sent(many_rows: tuple[URL, UUID], name: str) -> None:
    [statement] = [statement for statement in STATEMENTS if statement.name == name]
    parameters = statement.parameters
    shown = re.sub(
        r"(?<![:\w]):([a-z]\w*)", lambda match: f"${parameters.index(match[1]) + 1}", formatter().formatted(statement)
    )
    head, _, _ = statement.prepare_sql.partition(" AS ")
    nulls = f"({', '.join('NULL' for _ in parameters)})" if parameters else ""
    generic = "SET plan_cache_mode = force_generic_plan; "
    explain = f"EXPLAIN (VERBOSE, COSTS OFF) EXECUTE {statement.prepared_name}{nulls}"
    with psycopg2.connect(**connect_arguments(settings_for(many_rows[0]))) as connection:
        plans = []
        for prepare in (statement.prepare_sql.replace("%%", "%"), f"{head} AS {shown};"):
            cursor = connection.cursor()
            cursor.execute(generic + prepare + explain)
            plans.append(cursor.fetchall())
            cursor.execute(statement.deallocate_sql)
    connection.close()
    assert plans[0] == plans[1]
