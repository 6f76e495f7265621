"""The only way to run a statement."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from psycopg2.errors import UniqueViolation

from config import Settings
from src.database.connection import Connection, Rows
from src.database.faults import is_disk_full, reason_of
from src.database.pool import Pool
from src.database.retry import Retry
from src.database.statement import ROWS_AT_A_TIME, Change, LongStatement, Statement
from src.database.task_locks import TaskLocks
from src.exceptions.errors import DatabaseUnavailable, TooManyExports, TooManyLists
from src.observability.log import PacedWarnings
from src.observability.traces import statement_span
from src.utils.json_text import JsonFile, NoSpace, Space

log = logging.getLogger(__name__)

# In a fifth of a second, a busy service makes some hundred changes.
_MAINTENANCE_PAUSE_S = 0.2
_FAILED_MAINTENANCE_PAUSE_S = 5.0


class Outcome(NamedTuple):
    """The row that a change returned, if any.

    It is a replay if another request had made the change. A repeat cannot tell the attempts of other requests
    from its own first one, so it never counts as a replay.
    """

    row: Any | None
    is_replay: bool


class Database:
    """Runs statements, each in a transaction of its own.

    A statement is committed when it returns and rolled back when it raises. It holds a connection only
    until its rows are here, so no caller, however slow, can keep a transaction open.

    Every method raises `DatabaseUnavailable` when no connection is free within `queue_timeout_s`, when
    the database does not come back within `repeat_budget_s`, and when it cancels the statement after
    `statement_timeout_s`. It raises `SchemaOutdated` when the database lacks the schema of this code.

    `primary` is set on a replica only; maintenance runs there.
    """

    def __init__(self, settings: Settings, primary: "Database | None" = None) -> None:
        self._primary = primary
        self.pool = Pool(settings, "primary" if primary is None else "replica")
        self.warnings = PacedWarnings(log)
        # Undos, streams and slow statements may hold connections for long, so each may have a quarter of them.
        quarter = max(1, settings.database_pool_size // 4)
        self.task_locks = TaskLocks(settings.statement_timeout_s, self.warnings, undos=quarter)
        self._streams = asyncio.Semaphore(quarter)
        self._slow_statements = asyncio.Semaphore(quarter)
        self._queue_timeout_s = settings.queue_timeout_s
        self._repeat_budget_s = settings.repeat_budget_s
        self._export_timeout_s = settings.export_timeout_s
        self._debug = settings.debug
        # The server cancels a statement, or its wait for a lock, after this time. The limit travels in
        # the same message and transaction as the statement: a pooler in transaction mode refuses
        # start-up options and would hand a session's SET to other clients.
        self._limit = f"SET LOCAL statement_timeout = {round(settings.statement_timeout_s * 1000)}; "
        self._space = Space(settings.max_list_bytes)
        self._maintenance: asyncio.Task[None] | None = None
        # The directory of its socket, if the server is on this machine.
        host = settings.require_database_url().query.get("host", "")
        self.socket_dir = Path(host) if isinstance(host, str) and host.startswith("/") else None
        # Set by a statement that found no room, and cleared by a change: see disk.py.
        self.disk_is_full = False

    async def run(
        self,
        statement: Statement,
        parameters: Mapping[str, Any] | None = None,
        *,
        repeat_budget_s: float | None = None,
    ) -> Rows:
        """Return the rows of `statement`, in one round trip, and repeat it if the database fails it."""
        return await self._run(statement, parameters or {}, self._retry(statement, repeat_budget_s))

    async def change(self, change: Change, parameters: Mapping[str, Any], *, may_be_logged: bool = False) -> Outcome:
        """Make a change, in one round trip, and make it once although its statement is repeated.

        When a connection is lost, nobody knows whether its statement was committed. So a change brings the
        id of its history entry. If an earlier attempt was committed, a repeat violates the uniqueness of
        that id or finds nothing left to do, and `change.if_logged` gives the answer. The same holds for the
        attempts of other requests that bring the same id: then the change `may_be_logged` before the first.
        """
        retry = self._retry(change.statement)
        violation, row = None, None
        try:
            row = _first(await self._run(change.statement, parameters, retry))
            self.disk_is_full = False
        except UniqueViolation as error:
            violation = error
        if row is not None and row.is_logged:
            return Outcome(row, is_replay=False)
        if violation is not None or retry.is_repeat or may_be_logged:
            logged = _first(await self.run(change.if_logged, parameters))
            if logged is not None:
                return Outcome(logged, is_replay=not retry.is_repeat)
        if violation is not None:
            raise violation
        return Outcome(row, is_replay=False)

    async def collect(self, statement: LongStatement, parameters: Mapping[str, Any] | None = None) -> JsonFile:
        """Return the JSON values that `statement` selects, as one array.

        They all come from one snapshot, and all have arrived before the caller sees the first. So a
        failure leaves no half of an array, and a slow caller holds no connection. A long array costs
        one more round trip for each `ROWS_AT_A_TIME`. Raises `TooManyLists` if there is no space for it.
        """
        retry = self._retry(statement)
        while True:
            try:
                with statement_span(statement.sql):
                    async with self._lease_for(statement) as connection:
                        return await self._collect(connection, statement, parameters or {})
            except NoSpace as error:
                self.warnings.warn(f"There is no space for a list: {error}")
                raise TooManyLists from error
            except (psycopg2.Error, TimeoutError) as failure:
                await retry.after(failure)

    async def stream(
        self, statement: Statement, parameters: Mapping[str, Any], lines_at_a_time: int
    ) -> AsyncGenerator[list[str]]:
        """Yield the rows of `statement`, each a text, up to `lines_at_a_time` of them at once, from one snapshot.

        In memory are those that the caller has, and as many again.

        This holds a connection until the caller has taken all lines or closed the generator, so only a few
        streams run at a time, and none for more than `export_timeout_s`. Before the first lines it raises as the
        other methods do, and `TooManyExports`. Afterwards it cannot start over, so it raises `DatabaseUnavailable`
        for any failure.
        """
        if self._streams.locked():
            raise TooManyExports
        async with self._streams:
            retry = self._retry(statement)
            deadline = time.monotonic() + self._export_timeout_s
            is_begun = False
            while True:
                try:
                    async with self.pool.lease() as connection:
                        lines = await connection.lines(self._first_rows(statement, lines_at_a_time), parameters)
                        while lines:
                            is_begun = True
                            # The database works on the next lines while the caller takes these.
                            following = asyncio.ensure_future(connection.lines(_fetch(lines_at_a_time)))
                            try:
                                # Let it be sent.
                                await asyncio.sleep(0)
                                yield lines
                                if time.monotonic() > deadline:
                                    raise TimeoutError(f"its caller took more than {self._export_timeout_s:g} s")
                                lines = await following
                            finally:
                                await _ended(following)
                        await connection.run("COMMIT")
                        return
                except (psycopg2.Error, TimeoutError) as failure:
                    if is_begun:
                        self.warnings.warn(f"An export was cut off: {reason_of(failure)}")
                        raise DatabaseUnavailable from failure
                    await retry.after(failure)

    def maintain(self, statement: Statement) -> None:
        """Run `statement` on the primary in the background, but not again until a moment after it has ended.

        It gets one attempt. A failure is logged, and the next run waits longer.
        """
        if self._primary is not None:
            self._primary.maintain(statement)
        elif self._maintenance is None or self._maintenance.done():
            self._maintenance = asyncio.get_running_loop().create_task(self._maintain(statement))

    def close(self) -> None:
        """Close the connections, none of which may be in use for a request."""
        if self._maintenance is not None:
            self._maintenance.cancel()
        self.pool.close()

    async def _run(self, statement: Statement, parameters: Mapping[str, Any], retry: Retry) -> Rows:
        while True:
            try:
                with statement_span(statement.sql):
                    async with self._lease_for(statement) as connection:
                        return await connection.execute(statement, parameters, self._limit)
            except (psycopg2.Error, TimeoutError) as failure:
                self.disk_is_full |= is_disk_full(failure)
                await retry.after(failure)

    def _lease_for(self, statement: Statement) -> AbstractAsyncContextManager[Connection]:
        return self._slow_lease() if statement.may_be_slow else self.pool.lease()

    @asynccontextmanager
    async def _slow_lease(self) -> AsyncIterator[Connection]:
        """Lease a connection when there are few enough slow statements. Raises as `Pool.lease` does."""
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await self._slow_statements.acquire()
        except TimeoutError as error:
            raise TimeoutError(f"other searches took more than {self._queue_timeout_s:g} s") from error
        try:
            async with self.pool.lease() as connection:
                yield connection
        finally:
            self._slow_statements.release()

    def _first_rows(self, statement: Statement, count: int) -> str:
        """Return the SQL that opens a transaction, and a cursor in it, and fetches the first rows."""
        cursor = f"DECLARE items NO SCROLL CURSOR FOR {statement.sql}"
        return f"BEGIN READ ONLY; {self._limit}{statement.prefix}{cursor}; {_fetch(count)}"

    def _retry(self, statement: Statement, budget_s: float | None = None) -> Retry:
        if self._debug:
            log.info("%s", statement.sql)
        return Retry(self._repeat_budget_s if budget_s is None else budget_s, self.warnings)

    async def _maintain(self, statement: Statement) -> None:
        try:
            async with self.pool.lease() as connection:
                await connection.run(self._limit + statement.prefix + statement.sql)
        except (psycopg2.Error, TimeoutError) as error:
            self.disk_is_full |= is_disk_full(error)
            self.warnings.warn(f"The database was not maintained: {reason_of(error)}")
            await asyncio.sleep(_FAILED_MAINTENANCE_PAUSE_S)
        await asyncio.sleep(_MAINTENANCE_PAUSE_S)

    async def _collect(
        self, connection: Connection, statement: LongStatement, parameters: Mapping[str, Any]
    ) -> JsonFile:
        array = JsonFile(self._space)
        try:
            rows = await connection.execute(statement.beginning, parameters, self._limit)
            if len(rows) == ROWS_AT_A_TIME:
                # There may be more. Start over, in a transaction that lasts.
                rows = await connection.run(self._first_rows(statement, ROWS_AT_A_TIME), parameters)
                while len(rows) == ROWS_AT_A_TIME:
                    array.extend(row.json for row in rows)
                    rows = await connection.run(_fetch(ROWS_AT_A_TIME))
                await connection.run("COMMIT")
            array.extend(row.json for row in rows)
            array.end()
        except BaseException:
            array.close()
            raise
        return array


def _fetch(count: int) -> str:
    return f"FETCH {count} FROM items"


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancel `task` and wait for its end, however it ends."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _first(rows: Rows) -> Any | None:
    return rows[0] if rows else None
