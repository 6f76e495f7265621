"""Connections to PostgreSQL that the event loop watches itself.

Handing a statement to a thread and its rows back would take longer than the database takes for one
task. So this drives psycopg2's asynchronous mode, in which a connection says whether it wants to read
or to write (https://www.psycopg.org/docs/advanced.html#asynchronous-support). An asynchronous driver,
such as psycopg 3 or asyncpg, would replace this file; the project is bound to psycopg2.
"""

import asyncio
from collections import namedtuple
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import psycopg2
from psycopg2.errors import (
    DuplicatePreparedStatement,
    FeatureNotSupported,
    InvalidSqlStatementName,
    ReadOnlySqlTransaction,
)
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_UNKNOWN

from config import Settings
from src.database.statement import DIALECT, Statement

# Named tuples: a column is an attribute.
Rows = list[Any]

# How many times to try EXECUTE, or PREPARE and EXECUTE, before sending plain SQL.
_GUESSES = 4
# An empty send buffer takes at least this much at once (tcp(7)).
_SENT_AT_ONCE_BYTES = 4096


class Connection:
    """A connection that runs one statement at a time, on the event loop that opened it."""

    def __init__(self, connection: Any, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s
        # The types of the rows of the statements that were prepared here, by their prepared names.
        self._row_types: dict[str, type[Any]] = {}
        self._answered: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._descriptor = connection.fileno()
        # The event loop watches the socket as long as it is open. Doing so for each statement would take longer.
        self._loop.add_reader(self._descriptor, self._on_readable)
        self._is_watched = True

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Connect. Raises `psycopg2.OperationalError`, also after `connect_timeout_s` (for all hosts together)."""
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                # Not on the event loop, because it looks up the host's name before it returns.
                opening = await asyncio.to_thread(psycopg2.connect, **connect_arguments(settings), async_=True)
                try:
                    await _until_open(opening)
                except BaseException:
                    opening.close()
                    raise
        except TimeoutError as error:
            raise psycopg2.OperationalError("timeout expired") from error
        # The server cancels a statement itself, unless the server hangs or a pooler holds the statement back.
        return cls(opening, settings.statement_timeout_s + settings.network_timeout_s)

    async def execute(self, statement: Statement, parameters: Mapping[str, Any], before: str) -> Rows:
        """Return the rows of `statement`, and keep its plan. `before` is SQL for the same transaction.

        Whether this connection has the statement prepared is only a guess: behind a pooler, each
        transaction may meet another server connection. PostgreSQL reports a wrong guess before it runs
        anything. Raises as `run` does.
        """
        name = statement.prepared_name
        command = statement.execute_sql if name in self._row_types else statement.prepare_sql + statement.execute_sql
        for _ in range(_GUESSES):
            try:
                cursor = await self._send(before + command, parameters)
            except InvalidSqlStatementName:
                command = statement.prepare_sql + statement.execute_sql
            except DuplicatePreparedStatement:
                command = statement.execute_sql
            except FeatureNotSupported:
                # "cached plan must not change result type", after a migration.
                command = statement.deallocate_sql + statement.prepare_sql + statement.execute_sql
            else:
                if command is not statement.execute_sql or name not in self._row_types:
                    self._row_types[name] = _row_type(cursor)
                return [self._row_types[name](*row) for row in cursor.fetchall()]
        return await self.run(before + statement.prefix + statement.sql, parameters)

    async def run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Return the rows of `sql`, or of the last of its statements.

        Raises `psycopg2.Error`, and `TimeoutError` if the server does not answer at all.
        """
        cursor = await self._send(sql, parameters)
        return list(map(_row_type(cursor)._make, cursor.fetchall())) if cursor.description else []

    async def lines(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[str]:
        """Return the only column of the rows of `sql`, without the cost of named tuples. Raises as `run` does."""
        cursor = await self._send(sql, parameters)
        return [line for (line,) in cursor.fetchall()]

    async def _send(self, sql: str, parameters: Mapping[str, Any] | None) -> Any:
        """Return the cursor of `sql`, once the server has answered: `_on_readable` completes `_answered`."""
        cursor = self._connection.cursor()
        answered = self._answered = self._loop.create_future()
        timer = self._loop.call_later(self._patience_s, _time_out, answered, self._patience_s)
        try:
            cursor.execute(sql, parameters or None)
            if len(cursor.query) > _SENT_AT_ONCE_BYTES:
                self._advance(answered)
            await answered
        except ReadOnlySqlTransaction:
            # The primary has become a replica. A new connection may lead to the new primary.
            self.close()
            raise
        finally:
            timer.cancel()
            self._answered = None
            if self._is_lost():
                self._unwatch()
        return cursor

    def is_usable(self) -> bool:
        """Tell whether the connection is open and idle."""
        return not self._connection.closed and self._connection.get_transaction_status() == TRANSACTION_STATUS_IDLE

    def close(self) -> None:
        """Close the connection. The server may still commit what it has begun."""
        self._unwatch()
        self._connection.close()

    def _on_readable(self) -> None:
        if self._answered is None:
            # The only message to an idle client is that the server closes the connection.
            self.close()
        elif not self._answered.done():
            self._advance(self._answered)

    def _advance(self, answered: "asyncio.Future[None]") -> None:
        try:
            state = self._connection.poll()
        except psycopg2.Error as error:
            answered.set_exception(error)
        else:
            if state == POLL_OK:
                answered.set_result(None)
            elif self._is_lost():
                answered.set_exception(psycopg2.OperationalError("the connection was lost"))
            elif state == POLL_WRITE:
                self._loop.add_writer(self._descriptor, self._on_writable)
            else:
                # uvloop stops watching a socket that reports an error, although data may be waiting before it.
                self._loop.remove_reader(self._descriptor)
                self._loop.add_reader(self._descriptor, self._on_readable)
        # At once, because the next socket to be opened may get the same descriptor.
        if self._is_lost():
            self._unwatch()

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._descriptor)
        self._on_readable()

    def _is_lost(self) -> bool:
        """Tell whether libpq has closed the socket, which psycopg2 does not always notice."""
        return bool(self._connection.closed or self._connection.get_transaction_status() == TRANSACTION_STATUS_UNKNOWN)

    def _unwatch(self) -> None:
        """Stop watching the socket."""
        if self._is_watched and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
        self._is_watched = False


def _row_type(cursor: Any) -> Any:
    """Return the named tuple for the rows of `cursor`. Reading its description takes longer than reading a row."""
    return _named_tuple(tuple(column.name for column in cursor.description))


@cache
def _named_tuple(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)


def _time_out(answered: "asyncio.Future[None]", patience_s: float) -> None:
    if not answered.done():
        answered.set_exception(TimeoutError(f"the server said nothing for {patience_s:g} s"))


async def _until_open(connection: Any) -> None:
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
    """Return psycopg2's arguments. A silent connection counts as dead after `network_timeout_s`."""
    _, arguments = DIALECT.create_connect_args(settings.require_database_url())  # type: ignore[no-untyped-call]
    timeout_s = settings.network_timeout_s
    return {
        **arguments,
        "client_encoding": "utf8",
        "application_name": "task-management-backend",
        # Keep-alive probes cover a connection that waits for an answer, the user timeout one that sends.
        "keepalives_idle": max(1, timeout_s // 2),
        "keepalives_interval": max(1, timeout_s // 6),
        "keepalives_count": 3,
        "tcp_user_timeout": timeout_s * 1000,
    }
