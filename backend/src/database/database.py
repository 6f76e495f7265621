"""The one way to run a statement, and the one place that deals with a database that fails."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError

from config import Settings
from src.database.connection import create_database_engine
from src.database.faults import is_transient, is_unavailable, is_unique_violation
from src.exceptions.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.4

Rows = Sequence[Row[Any]]


class Database:
    """Runs statements, each in a transaction of its own and in one round trip.

    A statement is committed when it returns and undone when it raises. A connection is held only
    while its statement runs, so no caller, however slow, can keep a transaction open.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = create_database_engine(settings)
        self._repeat_budget_s = settings.repeat_budget_s
        self._queue_timeout_s = settings.queue_timeout_s
        # As many threads as connections: a thread more would only wait for one.
        self._threads = ThreadPoolExecutor(settings.database_pool_size, thread_name_prefix="database")
        self._free = asyncio.Semaphore(settings.database_pool_size)

    async def run(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        if_committed: Executable | None = None,
        repeat_budget_s: float | None = None,
    ) -> Rows:
        """Return the rows of `statement`, repeated for as long as the database fails it, within limits.

        When a connection is lost, nobody knows whether its statement was committed. So a write
        must be safe to repeat: it brings the ids of the rows that it inserts. Where an earlier
        attempt was committed, a repeat runs into those ids, or finds nothing left to do; it then
        is answered by `if_committed`, which takes the same parameters.

        Raises `DatabaseUnavailable` when no connection is free within `queue_timeout_s`, when the
        database is not back within `repeat_budget_s`, and when it ends the statement after
        `statement_timeout_s`.
        """
        budget_s = self._repeat_budget_s if repeat_budget_s is None else repeat_budget_s
        rows, repeated = await self._repeat(statement, parameters, budget_s)
        if not rows and repeated and if_committed is not None:
            rows, _ = await self._repeat(if_committed, parameters, budget_s)
        return rows

    def close(self) -> None:
        """Close the connections, which must not be in use."""
        self._threads.shutdown()
        self.engine.dispose()

    async def _repeat(
        self, statement: Executable, parameters: Mapping[str, Any] | None, budget_s: float
    ) -> tuple[Rows, bool]:
        """Return the rows, none where a repeat runs into its own ids, and whether there was a repeat."""
        failure: DBAPIError | None = None
        for pause_s in _pauses(budget_s):
            try:
                return await self._attempt(statement, parameters), failure is not None
            except DBAPIError as error:
                if failure is not None and is_unique_violation(error):
                    return [], True
                if not is_unavailable(error):
                    raise
                failure = error
                if not is_transient(error):
                    break
            log.warning("The database failed a statement: %s", type(failure.orig).__name__)
            await asyncio.sleep(pause_s)
        raise DatabaseUnavailable from failure

    async def _attempt(self, statement: Executable, parameters: Mapping[str, Any] | None) -> Rows:
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        try:
            # The context goes along, so that what is logged on the thread names its request.
            execute = partial(copy_context().run, self._execute, statement, parameters)
            return await asyncio.get_running_loop().run_in_executor(self._threads, execute)
        finally:
            self._free.release()

    def _execute(self, statement: Executable, parameters: Mapping[str, Any] | None) -> Rows:
        with self.engine.connect() as connection:
            return connection.execute(statement, parameters).all()


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
