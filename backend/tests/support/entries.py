"""Entries of the history that SQL clients write past the service."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import connection
from sqlalchemy import URL

from src.database.connection import connect_arguments
from tests.support.databases import Sql, settings_for

# So many entries in one transaction, a microsecond apart, with a description each.
_ENTRIES = (
    "INSERT INTO task_history (history_id, task_id, action_type, description, timestamp)"
    " SELECT gen_random_uuid(), gen_random_uuid(), 'CREATED', {description},"
    " clock_timestamp() + number * interval '1 microsecond'"
    " FROM generate_series(1, {count}) AS number RETURNING history_id::text"
)


@contextmanager
def sql_client(url: URL) -> Iterator[connection]:
    """Yield a connection of psycopg2, whose transactions the caller ends."""
    client = psycopg2.connect(**connect_arguments(settings_for(url)))
    try:
        yield client
    finally:
        client.close()


def write_entries(client: connection, count: int = 1) -> list[str]:
    """Write entries in the open transaction of `client`, and return their ids."""
    with client.cursor() as cursor:
        cursor.execute(_ENTRIES.format(description="'Written by SQL'", count=count))
        return [history_id for (history_id,) in cursor.fetchall()]


def commit_entries(sql: Sql, count: int = 1, *, length: int = 10) -> list[str]:
    """Write entries with a description of that `length` in one transaction, and return their ids, oldest first."""
    rows = sql(_ENTRIES.format(description=f"repeat('x', {length})", count=count))
    return [row.history_id for row in rows]
