"""Databases of a test's own, and SQL on them that bypasses the service."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import URL, Engine, NullPool, Row, create_engine, text

from config import Settings

Sql = Callable[..., Sequence[Row[Any]]]

# Before SQL that inserts entries of any time, and of tasks that never existed, as a restore does.
AS_REPLICA = "SET session_replication_role = replica; "

# An entry as a version of the service wrote it that did not know the columns of revision 0005.
OLD_ENTRY = (
    f"{AS_REPLICA}INSERT INTO task_history (history_id, task_id, action_type, description, timestamp)"
    " VALUES (:history_id, :task_id, :action, 'Something happened', '2020-01-01T00:00:00Z')"
)

# A row for each session of the current database that waits for a lock.
WAITING_FOR_A_LOCK = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def settings_for(url: URL, **overrides: Any) -> Settings:
    """The default settings with the database at `url`, whatever the environment of this machine says."""
    assert overrides.keys() <= Settings.model_fields.keys()
    return Settings(_env_file=None, **{"database_url": url, **overrides})


def environment_of(url: URL) -> str:
    """Return `url`, with its password, as the environment variable DATABASE_URL holds it."""
    return url.render_as_string(hide_password=False)


def execute(url: URL, statement: str, **parameters: Any) -> Sequence[Row[Any]]:
    """Run SQL on the database at `url`, each statement a transaction of its own."""
    with _engine(url).connect() as connection:
        result = connection.execute(text(statement), parameters)
        return result.all() if result.returns_rows else []


def table_names(url: URL) -> set[str]:
    """Return the names of the tables in the schema `public`."""
    return {row.tablename for row in execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


@lru_cache(maxsize=8)
def _engine(url: URL) -> Engine:
    """Return an engine that opens a connection for each use. Making the engine costs more than most statements."""
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


@contextmanager
def transaction(url: URL, statement: str) -> Iterator[None]:
    """Run SQL in a transaction, and keep it open, with its locks, until the block ends."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement))
        yield


@contextmanager
def new_database(server: URL, template: str = "template0") -> Iterator[URL]:
    """Create a database as a copy of `template`, and drop it when the block ends."""
    name = f"test_{secrets.token_hex(6)}"
    # Copying files takes half the time of the default strategy, for a template as small as the tests'.
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield server.set(database=name)
    finally:
        execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
