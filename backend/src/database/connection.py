"""Connections to PostgreSQL, for which the event loop waits itself.

Threads would take longer to hand a statement over and its rows back than the database takes for
one task. So this is psycopg2's asynchronous mode: it says when it wants to read or to write
(https://www.psycopg.org/docs/advanced.html#asynchronous-support).
"""

import asyncio
import select
from collections.abc import Mapping
from typing import Any, Self

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, TRANSACTION_STATUS_IDLE

from config import Settings
from src.database.statement import DIALECT

Rows = list[tuple[Any, ...]]


class Connection:
    """A connection that runs one statement at a time."""

    def __init__(self, connection: Any, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Connect. Raises `psycopg2.OperationalError`, also after `connect_timeout_s` (of all hosts together)."""
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                # The name of the host is looked up before this returns, so not on the event loop.
                opening = await asyncio.to_thread(psycopg2.connect, **connect_arguments(settings), async_=True)
                try:
                    await _until_ready(opening)
                except BaseException:
                    opening.close()
                    raise
        except TimeoutError as error:
            raise psycopg2.OperationalError("timeout expired") from error
        # The server ends a statement itself, unless it is stopped, or a pooler holds the statement back.
        return cls(opening, settings.statement_timeout_s + settings.network_timeout_s)

    async def run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Return the rows of `sql`, of its last statement where it is several.

        Raises `psycopg2.Error`, and `TimeoutError` where the server does not even say that it failed.
        """
        cursor = self._connection.cursor()
        cursor.execute(sql, parameters)
        async with asyncio.timeout(self._patience_s):
            await _until_ready(self._connection)
        rows: Rows = cursor.fetchall() if cursor.description else []
        return rows

    def is_usable(self) -> bool:
        """Whether the connection is free for a statement: open, and in the middle of nothing.

        That the server has closed it is noticed without a round trip: to an idle client a server
        says nothing but that it ends.
        """
        if self._connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            return False
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the connection. What the server has begun, it may still commit."""
        self._connection.close()


async def _until_ready(connection: Any) -> None:
    loop = asyncio.get_running_loop()
    while (state := connection.poll()) != POLL_OK:
        descriptor = connection.fileno()
        ready = loop.create_future()
        add, remove = (
            (loop.add_reader, loop.remove_reader) if state == POLL_READ else (loop.add_writer, loop.remove_writer)
        )
        add(descriptor, _set, ready)
        try:
            await ready
        finally:
            remove(descriptor)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def connect_arguments(settings: Settings) -> dict[str, Any]:
    """Return what psycopg2 is told. A silent network is noticed within `network_timeout_s`."""
    _, arguments = DIALECT.create_connect_args(settings.require_database_url())  # type: ignore[no-untyped-call]
    timeout_s = settings.network_timeout_s
    return {
        **arguments,
        "client_encoding": "utf8",
        "application_name": "task-management-backend",
        # Probes for a connection that waits for an answer, a limit for one that sends.
        "keepalives_idle": max(1, timeout_s // 2),
        "keepalives_interval": max(1, timeout_s // 6),
        "keepalives_count": 3,
        "tcp_user_timeout": timeout_s * 1000,
    }
