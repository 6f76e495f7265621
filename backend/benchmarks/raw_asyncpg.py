"""The usual choice for speed: FastAPI on raw asyncpg.

It uses prepared statements, which asyncpg caches for each connection; one statement for a change and its
history entry; orjson; and plain tables of its own. Like the textbook, it has no limits and no request log,
and it counts only when a caller asks.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import orjson
from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field

SCHEMA = """
    CREATE TABLE tasks (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        title varchar(255) NOT NULL,
        description text,
        is_completed boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        completed_at timestamptz
    );
    CREATE INDEX ON tasks (is_completed, created_at DESC, id);
    CREATE INDEX ON tasks (created_at);
    CREATE INDEX ON tasks (completed_at);
    CREATE TABLE task_history (
        history_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        task_id uuid NOT NULL,
        action_type varchar(11) NOT NULL,
        description text NOT NULL,
        timestamp timestamptz NOT NULL DEFAULT now(),
        task_title varchar(255) NOT NULL,
        changes json
    );
    CREATE INDEX ON task_history (task_id, timestamp DESC);
    CREATE INDEX ON task_history (timestamp DESC, history_id DESC);
"""

CREATE = """
    WITH task AS (
        INSERT INTO tasks (title, description) VALUES ($1, $2) RETURNING *
    ), entry AS (
        INSERT INTO task_history (task_id, action_type, description, task_title, changes)
        SELECT id, 'CREATED', concat('Task created: ''', title, ''''), title, json_build_object(
            'title', json_build_object('before', NULL, 'after', title),
            'description', json_build_object('before', NULL, 'after', description),
            'is_completed', json_build_object('before', NULL, 'after', is_completed),
            'completed_at', json_build_object('before', NULL, 'after', completed_at),
            'created_at', json_build_object('before', NULL, 'after', created_at)
        )
        FROM task
    )
    SELECT * FROM task
"""
UPDATE = """
    WITH before AS (
        SELECT id, title, description FROM tasks WHERE id = $1 FOR UPDATE
    ), task AS (
        UPDATE tasks SET
            title = coalesce($2, before.title), description = coalesce($3, before.description), updated_at = now()
        FROM before WHERE tasks.id = before.id RETURNING tasks.*
    ), entry AS (
        INSERT INTO task_history (task_id, action_type, description, task_title, changes)
        SELECT task.id, 'UPDATED', 'Task updated', task.title, (
            SELECT json_object_agg(field, json_build_object('before', old, 'after', new))
            FROM (
                VALUES ('title', before.title, task.title), ('description', before.description, task.description)
            ) AS edit (field, old, new)
            WHERE old IS DISTINCT FROM new
        )
        FROM task, before
    )
    SELECT * FROM task
"""
COMPLETE = """
    WITH task AS (
        UPDATE tasks SET is_completed = true, completed_at = now(), updated_at = now()
        WHERE id = $1 AND NOT is_completed RETURNING *
    ), entry AS (
        INSERT INTO task_history (task_id, action_type, description, task_title, changes)
        SELECT id, 'COMPLETED', 'Task marked as completed', title, json_build_object(
            'is_completed', json_build_object('before', false, 'after', true),
            'completed_at', json_build_object('before', NULL, 'after', completed_at)
        )
        FROM task
    )
    SELECT * FROM task
"""
REOPEN = """
    WITH before AS (
        SELECT id, completed_at FROM tasks WHERE id = $1 AND is_completed FOR UPDATE
    ), task AS (
        UPDATE tasks SET is_completed = false, completed_at = NULL, updated_at = now()
        FROM before WHERE tasks.id = before.id RETURNING tasks.*
    ), entry AS (
        INSERT INTO task_history (task_id, action_type, description, task_title, changes)
        SELECT task.id, 'INCOMPLETED', 'Task marked as incomplete', title, json_build_object(
            'is_completed', json_build_object('before', true, 'after', false),
            'completed_at', json_build_object('before', before.completed_at, 'after', NULL)
        )
        FROM task, before
    )
    SELECT * FROM task
"""
GET = "SELECT * FROM tasks WHERE id = $1"
LIST = "SELECT * FROM tasks ORDER BY is_completed, created_at DESC, id"
FIRST_OF_LIST = f"{LIST} LIMIT $1"
COUNT_HISTORY = "SELECT count(*) FROM task_history"
HISTORY = """
    SELECT history_id, task_id, action_type, description, timestamp, task_title
    FROM task_history ORDER BY timestamp DESC, history_id DESC LIMIT $1 OFFSET $2
"""
STATS = """
    SELECT
        (SELECT count(*) FROM tasks WHERE created_at >= $1 AND created_at < $2) AS tasks_created_this_week,
        (SELECT count(*) FROM tasks WHERE completed_at >= $1 AND completed_at < $2) AS tasks_completed_this_week,
        count(*) FILTER (WHERE is_completed) AS total_completed,
        count(*) FILTER (WHERE NOT is_completed) AS total_incomplete,
        count(*) AS total_tasks
    FROM tasks
"""


class TaskCreate(BaseModel):
    """A task to create."""

    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=5000)


class TaskUpdate(BaseModel):
    """The changes to a task."""

    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=5000)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    dsn = os.environ["DATABASE_URL"].replace("+psycopg2", "")
    async with asyncpg.create_pool(dsn, min_size=20, max_size=20, reset=keep_session) as app.state.pool:
        yield


async def keep_session(connection: asyncpg.Connection) -> None:
    """Skip the round trip that resets the session after each request: no statement here changes the session."""


app = FastAPI(lifespan=lifespan)


def respond(data: object, popup: str | None = None, status: int = 200, error: str | None = None) -> Response:
    body = {"success": error is None, "data": data, "popup": popup, "error": error}
    # asyncpg's UUID is a class of its own, which orjson does not know.
    return Response(orjson.dumps(body, str, orjson.OPT_UTC_Z), status, media_type="application/json")


def respond_with(task: asyncpg.Record | None, popup: str | None = None, status: int = 200) -> Response:
    return respond(dict(task), popup, status) if task else respond(None, status=404, error="Task not found")


@app.post("/tasks")
async def create_task(body: TaskCreate) -> Response:
    return respond_with(await app.state.pool.fetchrow(CREATE, body.title, body.description), "TASK_CREATED", 201)


@app.get("/tasks")
async def list_tasks(limit: Annotated[int | None, Query(ge=1, le=100)] = None) -> Response:
    pool = app.state.pool
    tasks = await (pool.fetch(LIST) if limit is None else pool.fetch(FIRST_OF_LIST, limit))
    return respond([dict(task) for task in tasks])


@app.get("/tasks/{task_id}")
async def get_task(task_id: UUID) -> Response:
    return respond_with(await app.state.pool.fetchrow(GET, task_id))


@app.put("/tasks/{task_id}")
async def update_task(task_id: UUID, body: TaskUpdate) -> Response:
    return respond_with(await app.state.pool.fetchrow(UPDATE, task_id, body.title, body.description), "TASK_UPDATED")


@app.patch("/tasks/{task_id}/complete")
async def complete_task(task_id: UUID) -> Response:
    return respond_with(await changed_or_as_it_is(COMPLETE, task_id), "TASK_COMPLETED")


@app.patch("/tasks/{task_id}/incomplete")
async def reopen_task(task_id: UUID) -> Response:
    return respond_with(await changed_or_as_it_is(REOPEN, task_id), "TASK_INCOMPLETE")


async def changed_or_as_it_is(change: str, task_id: UUID) -> asyncpg.Record | None:
    pool = app.state.pool
    return await pool.fetchrow(change, task_id) or await pool.fetchrow(GET, task_id)


@app.get("/history")
async def get_history(
    page: Annotated[int, Query(ge=1)] = 1, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> Response:
    pool = app.state.pool
    total_count = await pool.fetchval(COUNT_HISTORY)
    entries = await pool.fetch(HISTORY, limit, (page - 1) * limit)
    total_pages = (total_count + limit - 1) // limit
    pagination = {
        "total_count": total_count,
        "total_pages": total_pages,
        "current_page": page,
        "page_size": limit,
        "has_next": page < total_pages,
        "has_prev": page > 1,
    }
    return respond({"items": [dict(entry) for entry in entries], "pagination": pagination})


@app.get("/stats/weekly")
async def get_weekly_stats() -> Response:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    week_start = today - timedelta(days=today.weekday())
    week_end = week_start + timedelta(weeks=1)
    counts: dict[str, Any] = dict(await app.state.pool.fetchrow(STATS, week_start, week_end))
    return respond({**counts, "week_start": week_start, "week_end": week_end - timedelta(seconds=1)})
