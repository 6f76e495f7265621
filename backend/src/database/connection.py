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
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from config import Settings

Rows = list[tuple[Any, ...]]


class Connection:
    """A connection that runs one statement at a time, each in a transaction of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Connect. Raises `psycopg2.OperationalError`, also after `connect_timeout_s`."""
        # The name of the host is looked up before this returns, so not on the event loop.
        connection = cls(await asyncio.to_thread(psycopg2.connect, **connect_arguments(settings), async_=True))
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await connection._until_ready()  # It is one of its own.
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise psycopg2.OperationalError("timeout expired") from error
            raise
        return connection

    async def run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Return the rows of `sql`, of its last statement where it is several. Raises `psycopg2.Error`."""
        cursor = self._connection.cursor()
        cursor.execute(sql, parameters)
        await self._until_ready()
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
        """Close the connection; the server undoes what it has not committed."""
        self._connection.close()

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        while (state := self._connection.poll()) != POLL_OK:
            descriptor = self._connection.fileno()
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
    _, arguments = PGDialect_psycopg2().create_connect_args(settings.require_database_url())  # type: ignore[no-untyped-call]
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
