"""The databases that the benchmarks run on."""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress
from sqlalchemy import URL

from benchmarks.load import TASK_ID
from src.database.migrate import prepare_schema
from src.database.search_indexes import build_search_indexes
from src.embedded_postgres.server import EmbeddedPostgres
from src.utils.timestamps import RFC3339_FORMAT
from tests.support.databases import AS_REPLICA, execute, settings_for

TASKS_AT_A_TIME = 10_000

# A year of tasks, half of them complete, with the last ones this week.
TASKS = f"""
    INSERT INTO tasks (id, title, description, is_completed, created_at, updated_at, completed_at)
    SELECT {TASK_ID.format("number")}, 'Buy groceries ' || number, 'Milk, bread and cheese',
        number % 2 = 0, at, at, CASE WHEN number % 2 = 0 THEN at END
    FROM generate_series(cast(:first AS integer), :last) AS number,
        LATERAL (SELECT now() - interval '365 days' * (1 - number::float / :tasks) AS at) AS moment
"""
# Each task's entries, with the changes that the service would write for their actions.
ENTRIES = f"""
    {AS_REPLICA}
    INSERT INTO task_history (history_id, task_id, action_type, description, timestamp, task_title, changes)
    SELECT gen_random_uuid(), {TASK_ID.format("number / 10")}, action,
        'Title changed from ''Buy'' to ''' || title || '''', at, title,
        CASE action
            WHEN 'CREATED' THEN json_build_object(
                'title', json_build_object('before', NULL, 'after', title),
                'description', json_build_object('before', NULL, 'after', 'Milk, bread and cheese'),
                'is_completed', json_build_object('before', NULL, 'after', false),
                'completed_at', json_build_object('before', NULL, 'after', NULL),
                'created_at', json_build_object('before', NULL, 'after', moment)
            )
            WHEN 'UPDATED' THEN json_build_object('title', json_build_object('before', 'Buy', 'after', title))
            WHEN 'COMPLETED' THEN json_build_object(
                'is_completed', json_build_object('before', false, 'after', true),
                'completed_at', json_build_object('before', NULL, 'after', moment)
            )
            ELSE json_build_object(
                'is_completed', json_build_object('before', true, 'after', false),
                'completed_at', json_build_object('before', moment, 'after', NULL)
            )
        END
    FROM generate_series(cast(:first AS bigint) * 10, cast(:last AS bigint) * 10 + 9) AS number,
        LATERAL (
            SELECT
                (ARRAY['CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'UPDATED',
                       'UPDATED', 'UPDATED', 'UPDATED', 'UPDATED', 'COMPLETED'])[1 + number % 10] AS action,
                'Buy groceries ' || number / 10 AS title,
                now() - interval '365 days' * (1 - number::float / (:tasks * 10.0)) AS at
        ) AS entry,
        LATERAL (SELECT to_char(timezone('UTC', at), '{RFC3339_FORMAT}') AS moment) AS change
"""


@contextmanager
def running_postgres() -> Iterator[URL]:
    """Run a PostgreSQL with its default settings, which flush every commit to disk, until the block is left."""
    # Not in a directory that `tempfile` creates: root runs PostgreSQL as another account, which could not enter it.
    path = Path(tempfile.gettempdir()) / f"task-backend-benchmark-{secrets.token_hex(4)}"
    try:
        with EmbeddedPostgres(path, {"max_connections": "300"}) as postgres:
            yield postgres.url
    finally:
        shutil.rmtree(path, ignore_errors=True)


def create_database(server: URL, name: str, make_schema: Callable[[URL], None]) -> URL:
    """Return the URL of a new database with a schema."""
    execute(server, f"CREATE DATABASE {name}")
    url = server.set(database=name)
    make_schema(url)
    return url


def service_schema(url: URL) -> None:
    """Create the schema of the service, and let no entry of `fill` be late for its counts."""
    prepare_schema(settings_for(url))
    build_search_indexes(settings_for(url))
    execute(url, "SELECT setval('late_before', 1)")
    execute(url, "UPDATE counted SET entries_until = 'epoch'")


def fill(url: URL, tasks: int, progress: Progress, *, history: bool = True, counted: bool = True) -> None:
    """Add `tasks` tasks, each with ten entries of history, and show the progress; fold the counts if `counted`."""
    job = progress.add_task(f"{tasks:,} tasks{', 10 entries each' if history else ''}", total=tasks)
    for first in range(1, tasks + 1, TASKS_AT_A_TIME):
        last = min(first + TASKS_AT_A_TIME - 1, tasks)
        for statement in (TASKS, ENTRIES) if history else (TASKS,):
            execute(url, statement, first=first, last=last, tasks=tasks)
        progress.update(job, completed=last)
    if counted:
        execute(url, "SELECT fold_counts()")
    execute(url, "VACUUM ANALYZE")
    execute(url, "CHECKPOINT")
