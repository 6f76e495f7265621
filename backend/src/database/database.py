"""The one way to run a statement, and the one place that deals with a database that fails."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import psycopg2

from config import Settings
from src.database.connection import Connection, Rows
from src.database.faults import is_schema_outdated, is_transient, is_unavailable, is_unique_violation, reason_of
from src.database.pool import Pool
from src.database.statement import LongStatement, Statement
from src.database.turns import Turns
from src.exceptions.errors import DatabaseUnavailable, SchemaOutdated, TooManyLists
from src.observability.log import PacedWarnings
from src.observability.metrics import repeated_statements
from src.observability.traces import statement_span
from src.utils.json_text import JsonFile, NoSpace, Space

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.4

# A fifth of a second adds some hundred changes to what is to be counted.
_MAINTENANCE_PAUSE_S = 0.2
_FAILED_MAINTENANCE_PAUSE_S = 5.0

# Has the transaction write to the log of PostgreSQL, and so wait at its end for a synchronous replica,
# as a read would not. What a repeat finds committed may not be there yet when the server has restarted.
_WAIT_FOR_REPLICA = "SELECT pg_logical_emit_message(true, '', ''); "

AnswerT = TypeVar("AnswerT")


class Database:
    """Runs statements, each in a transaction of its own.

    A statement is committed when it returns and undone when it raises. A connection is held until
    the rows are here and no longer, so no caller, however slow, can keep a transaction open.

    Every method raises `DatabaseUnavailable` when no connection is free within `queue_timeout_s`,
    when the database is not back within `repeat_budget_s`, and when it ends the statement after
    `statement_timeout_s`; and `SchemaOutdated` when it has not the schema of this code.
    """

    def __init__(self, settings: Settings, pool_name: str = "primary") -> None:
        self.pool = Pool(settings, pool_name)
        self.warnings = PacedWarnings(log)
        self.turns = Turns(settings.statement_timeout_s, self.warnings)
        self._repeat_budget_s = settings.repeat_budget_s
        self._debug = settings.debug
        # The server ends any statement, and with it any wait for a lock, after this time. The limit
        # travels with the statement, in the same message and transaction: a pooler in transaction
        # mode refuses start-up options and would hand a session's SET to other clients.
        self._limit = f"SET LOCAL statement_timeout = {round(settings.statement_timeout_s * 1000)}; "
        self._space = Space(settings.max_list_bytes)
        self._maintenance: asyncio.Task[None] | None = None

    async def run(
        self,
        statement: Statement,
        parameters: Mapping[str, Any] | None = None,
        *,
        if_committed: Statement | None = None,
        repeat_budget_s: float | None = None,
    ) -> Rows:
        """Return the rows of `statement`, in one round trip.

        It is repeated for as long as the database fails it, within limits.

        When a connection is lost, nobody knows whether its statement was committed. So a write
        must be safe to repeat: it brings the ids of the rows that it inserts. Where an earlier
        attempt was committed, a repeat runs into those ids, or finds nothing left to do; it then
        is answered by `if_committed`, which takes the same parameters.
        """

        async def run(attempted: Statement, prefix: str = "") -> tuple[Rows | None, bool]:
            before = self._limit + prefix
            self._log(attempted)
            return await self._repeat(
                lambda connection: connection.execute(attempted, parameters or {}, before),
                attempted.sql,
                repeat_budget_s,
            )

        rows, repeated = await run(statement)
        if not rows and repeated and if_committed is not None:
            rows, _ = await run(if_committed, _WAIT_FOR_REPLICA)
        return rows or []

    async def collect(self, statement: LongStatement) -> JsonFile:
        """Return the array of the JSON texts that `statement` selects.

        All are of one snapshot, and there before the caller sees any of them: so what fails, fails
        as a whole, and a slow caller holds no connection. A long array takes one round trip more
        for each `rows_at_a_time`. Raises `TooManyLists` when there is no space for it.
        """
        self._log(statement)
        try:
            array, _ = await self._repeat(lambda connection: self._collect(connection, statement), statement.sql, None)
        except NoSpace as error:
            self.warnings.warn(f"There is no space for a list: {error}")
            raise TooManyLists from error
        assert array is not None, "A read inserts nothing, so it runs into no ids."
        return array

    def maintain(self, sql: str) -> None:
        """Run `sql` in the background, now and again: not while it still runs, nor for a moment afterwards.

        It is tried once. A failure is logged, and followed by a longer moment.
        """
        if self._maintenance is None or self._maintenance.done():
            self._maintenance = asyncio.get_running_loop().create_task(self._maintain(self._limit + sql))

    def close(self) -> None:
        """Close the connections, of which none must be in use for a request."""
        if self._maintenance is not None:
            self._maintenance.cancel()
        self.pool.close()

    async def _maintain(self, sql: str) -> None:
        try:
            await self._attempt(lambda connection: connection.run(sql), sql)
        except (psycopg2.Error, TimeoutError) as error:
            self.warnings.warn(f"The database was not maintained: {reason_of(error)}")
            await asyncio.sleep(_FAILED_MAINTENANCE_PAUSE_S)
        await asyncio.sleep(_MAINTENANCE_PAUSE_S)

    async def _collect(self, connection: Connection, statement: LongStatement) -> JsonFile:
        array = JsonFile(self._space)
        try:
            rows = await connection.execute(statement.beginning, {}, self._limit)
            if len(rows) == statement.rows_at_a_time:
                # There may be more: once again, in a transaction that lasts.
                fetch = f"FETCH {statement.rows_at_a_time} FROM items"
                cursor = f"DECLARE items NO SCROLL CURSOR FOR {statement.sql}"
                rows = await connection.run(f"BEGIN READ ONLY; {self._limit}{cursor}; {fetch}")
                while len(rows) == statement.rows_at_a_time:
                    array.extend(item for (item,) in rows)
                    rows = await connection.run(fetch)
                await connection.run("COMMIT")
            array.extend(item for (item,) in rows)
            array.end()
        except BaseException:
            array.close()
            raise
        return array

    async def _repeat(
        self, work: Callable[[Connection], Awaitable[AnswerT]], sql: str, budget_s: float | None
    ) -> tuple[AnswerT | None, bool]:
        """Return what `work` does, None where a repeat runs into its own ids, and whether there was a repeat."""
        failure: psycopg2.Error | None = None
        for pause_s in _pauses(self._repeat_budget_s if budget_s is None else budget_s):
            if failure is not None:
                repeated_statements.inc()
            try:
                return await self._attempt(work, sql), failure is not None
            except psycopg2.Error as error:
                if failure is not None and is_unique_violation(error):
                    return None, True
                if is_schema_outdated(error):
                    self.warnings.warn(f"The database has not the schema of this code: {reason_of(error)}")
                    raise SchemaOutdated from error
                if not is_unavailable(error):
                    raise
                failure = error
                self._warn_of(error)
                if not is_transient(error):
                    break
            except TimeoutError as error:
                self._warn_of(error)
                raise DatabaseUnavailable from error
            await asyncio.sleep(pause_s)
        raise DatabaseUnavailable from failure

    async def _attempt(self, work: Callable[[Connection], Awaitable[AnswerT]], sql: str) -> AnswerT:
        with statement_span(sql):
            connection = await self.pool.acquire()
            try:
                return await work(connection)
            except psycopg2.errors.ReadOnlySqlTransaction:
                # A replica, where the primary was. Another connection may lead to the new one.
                connection.close()
                raise
            finally:
                self.pool.release(connection)

    def _warn_of(self, failure: Exception) -> None:
        self.warnings.warn(f"The database cannot answer: {reason_of(failure)}")

    def _log(self, statement: Statement) -> None:
        if self._debug:
            log.info("%s", statement.sql)


def _pauses(budget_s: float) -> Iterator[float]:
    """Yield how long to wait after each attempt, until `budget_s` have passed.

    The waits double, with jitter, so that callers who deadlocked, or lost the same server, do not
    meet again (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    deadline = time.monotonic() + budget_s
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1)  # noqa: S311  # No secret.
        if time.monotonic() > deadline:
            return
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
