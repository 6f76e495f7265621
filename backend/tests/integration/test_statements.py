"""One request, one statement; and the indexes that the statements use."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from src.database.database import Database
from src.models import ActionType
from src.services.history_service import HistoryService
from src.services.task_service import TaskService
from tests.client import Api
from tests.conftest import Sql


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """What is sent to the database from here on."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


REQUESTS = {
    "create": ("POST", "/tasks", {"title": "x"}),
    "list": ("GET", "/tasks", None),
    "get": ("GET", "/tasks/{id}", None),
    "update": ("PUT", "/tasks/{id}", {"title": "Other", "description": "Other"}),
    "update nothing": ("PUT", "/tasks/{id}", {"title": "Buy groceries"}),
    "complete": ("PATCH", "/tasks/{id}/complete", None),
    "incomplete": ("PATCH", "/tasks/{id}/incomplete", None),
    "delete": ("DELETE", "/tasks/{id}", None),
    "history": ("GET", "/history?task_id={id}&action_type=CREATED&page=2&limit=5", None),
    "stats": ("GET", "/stats/weekly", None),
    "not found": ("PATCH", f"/tasks/{uuid4()}/complete", None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_statement(api: Api, statements: list[str], name: str) -> None:
    task = api.create_task()
    method, path, body = REQUESTS[name]
    statements.clear()

    response = api.request(method, path.format(id=task["id"]), json=body)

    assert response.status_code in (200, 201, 404), response.text
    assert len(statements) == 1


@pytest.mark.parametrize("path", ["/health", "/nope", "/tasks/42", "/history?page=0", "/openapi.json"])
def test_a_request_that_needs_no_data_is_no_statement(api: Api, statements: list[str], path: str) -> None:
    api.get("/tasks")
    statements.clear()
    api.get(path)
    assert statements == []


@pytest.fixture
def many_rows(sql: Sql) -> UUID:
    """20,000 tasks of 200 weeks and 60,000 history entries; returns one task's id."""
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Task', NULL, number % 3 = 0, at, at,"
        " CASE WHEN number % 3 = 0 THEN at END"
        " FROM generate_series(1, 20000) number, LATERAL (SELECT now() - number * interval '100 minutes' AS at) moment"
    )
    sql(
        "INSERT INTO task_history SELECT gen_random_uuid(), id, action, 'x', created_at"
        " FROM tasks, unnest(ARRAY['CREATED', 'UPDATED', 'COMPLETED']) action"
    )
    sql("VACUUM ANALYZE tasks, task_history")
    [row] = sql("SELECT id FROM tasks LIMIT 1")
    task_id: UUID = row.id
    return task_id


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (lambda tasks, history, task_id: tasks.get_task(task_id), "pk_tasks"),
        (lambda tasks, history, task_id: tasks.mark_complete(task_id), "pk_tasks"),
        (lambda tasks, history, task_id: history.get_weekly_stats(), "ix_tasks_created_at"),
        (lambda tasks, history, task_id: history.get_weekly_stats(), "ix_tasks_completed_at"),
        (lambda tasks, history, task_id: history.get_history_paginated(), "ix_task_history_timestamp_history_id"),
        (
            lambda tasks, history, task_id: history.get_history_paginated(action_type=ActionType.UPDATED),
            "ix_task_history_timestamp_history_id",
        ),
        (
            lambda tasks, history, task_id: history.get_history_paginated(task_id=task_id),
            "ix_task_history_task_id_timestamp_history_id",
        ),
        (lambda tasks, history, task_id: tasks.get_all_tasks(), "ix_tasks_is_completed_created_at_id"),
    ],
)
async def test_a_statement_uses_its_index(database: Database, many_rows: UUID, call: Any, index: str) -> None:
    plan: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        query = statement.removeprefix("SET LOCAL statement_timeout = 15000; ")
        cursor.execute(f"EXPLAIN {query}", parameters)
        plan.extend(line for (line,) in cursor.fetchall())

    event.listen(database.engine, "before_cursor_execute", explain)
    await call(TaskService(database), HistoryService(database), many_rows)

    assert index in "\n".join(plan), "\n".join(plan)
