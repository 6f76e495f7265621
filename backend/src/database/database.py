"""The one way to run a statement, and the one place that deals with a database that fails."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from typing import Any, TypeVar

import psycopg2

from config import Settings
from src.database.connection import create_database_engine
from src.database.faults import is_transient, is_unavailable, is_unique_violation
from src.database.statement import Statement
from src.exceptions.errors import DatabaseUnavailable
from src.utils.json_text import JsonFile

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.4

Rows = list[tuple[Any, ...]]
AnswerT = TypeVar("AnswerT")


class Database:
    """Runs statements, each in a transaction of its own and in one round trip.

    A statement is committed when it returns and undone when it raises. A connection is held only
    while its statement runs, so no caller, however slow, can keep a transaction open.

    Every method raises `DatabaseUnavailable` when no connection is free within `queue_timeout_s`,
    when the database is not back within `repeat_budget_s`, and when it ends the statement after
    `statement_timeout_s`.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = create_database_engine(settings)
        self._repeat_budget_s = settings.repeat_budget_s
        self._queue_timeout_s = settings.queue_timeout_s
        # The server ends any statement, and with it any wait for a lock, after this time. The limit
        # travels with the statement, in the same message and transaction: a pooler in transaction
        # mode refuses start-up options and would hand a session's SET to other clients.
        self._limit = f"SET LOCAL statement_timeout = {round(settings.statement_timeout_s * 1000)}; "
        self._debug = settings.debug
        # As many threads as connections: a thread more would only wait for one.
        self._threads = ThreadPoolExecutor(settings.database_pool_size, thread_name_prefix="database")
        self._free = asyncio.Semaphore(settings.database_pool_size)

    async def run(
        self,
        statement: Statement,
        parameters: Mapping[str, Any] | None = None,
        *,
        if_committed: Statement | None = None,
        repeat_budget_s: float | None = None,
    ) -> Rows:
        """Return the rows of `statement`, repeated for as long as the database fails it, within limits.

        When a connection is lost, nobody knows whether its statement was committed. So a write
        must be safe to repeat: it brings the ids of the rows that it inserts. Where an earlier
        attempt was committed, a repeat runs into those ids, or finds nothing left to do; it then
        is answered by `if_committed`, which takes the same parameters.
        """
        values = parameters or {}
        budget_s = self._repeat_budget_s if repeat_budget_s is None else repeat_budget_s
        rows, repeated = await self._repeat(lambda cursor: self._fetch(cursor, statement, values), budget_s)
        if not rows and repeated and if_committed is not None:
            rows, _ = await self._repeat(lambda cursor: self._fetch(cursor, if_committed, values), budget_s)
        return rows or []

    async def copy(self, statement: Statement) -> JsonFile:
        """Return the array of the JSON texts that `statement`, which has no parameters, selects.

        They are fetched as fast as the database gives them, however slow the caller is, and they
        are complete: what fails, fails before the caller has seen any of it.
        """
        array, _ = await self._repeat(lambda cursor: self._copy(cursor, statement), self._repeat_budget_s)
        assert array is not None, "A read inserts nothing, so it runs into no ids."
        return array

    def close(self) -> None:
        """Close the connections, which must not be in use."""
        self._threads.shutdown()
        self.engine.dispose()

    async def _repeat(self, work: Callable[[Any], AnswerT], budget_s: float) -> tuple[AnswerT | None, bool]:
        """Return what `work` does, None where a repeat runs into its own ids, and whether there was a repeat."""
        failure: psycopg2.Error | None = None
        for pause_s in _pauses(budget_s):
            try:
                return await self._attempt(work), failure is not None
            except psycopg2.Error as error:
                if failure is not None and is_unique_violation(error):
                    return None, True
                if not is_unavailable(error):
                    raise
                failure = error
                if not is_transient(error):
                    break
            log.warning("The database failed a statement: %s", type(failure).__name__)
            await asyncio.sleep(pause_s)
        raise DatabaseUnavailable from failure

    async def _attempt(self, work: Callable[[Any], AnswerT]) -> AnswerT:
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        try:
            # The context goes along, so that what is logged on the thread names its request.
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, copy_context().run, self._with_cursor, work
            )
        finally:
            self._free.release()

    def _with_cursor(self, work: Callable[[Any], AnswerT]) -> AnswerT:
        connection = self.engine.raw_connection()
        try:
            with closing(connection.cursor()) as cursor:
                return work(cursor)
        except psycopg2.Error:
            if connection.closed:
                connection.invalidate()
            raise
        finally:
            connection.close()

    def _fetch(self, cursor: Any, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        self._log(statement)
        cursor.execute(self._limit + statement.sql, statement.parameters(parameters))
        rows: Rows = cursor.fetchall()
        return rows

    def _copy(self, cursor: Any, statement: Statement) -> JsonFile:
        self._log(statement)
        array = JsonFile()
        try:
            # JSON has no control characters, so nothing in it is quoted.
            options = "FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01'"
            cursor.copy_expert(f"{self._limit}COPY ({statement.sql}) TO STDOUT ({options})", array)
            array.end()
        except BaseException:
            array.close()
            raise
        return array

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
