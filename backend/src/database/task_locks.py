"""Locks for the tasks that are being changed."""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary

from src.exceptions.errors import DatabaseUnavailable
from src.observability.log import PacedWarnings


class TaskLocks:
    """Lets one caller at a time change a task, first come, first served.

    The lock of the task's row would do the same, but callers wait for that one with a connection: a row
    that stays locked for long would use up the pool.
    """

    def __init__(self, timeout_s: float, warnings: PacedWarnings) -> None:
        self._timeout_s = timeout_s
        self._warnings = warnings
        # A lock disappears once nobody holds it or waits for it.
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def acquire(self, task_id: UUID) -> asyncio.Lock:
        """Return the lock of a task, which the caller must release.

        Raises `DatabaseUnavailable` when the lock is not free within `timeout_s`.
        """
        lock = self._locks.get(task_id)
        if lock is None:
            lock = self._locks[task_id] = asyncio.Lock()
            await lock.acquire()
            return lock
        try:
            async with asyncio.timeout(self._timeout_s):
                await lock.acquire()
        except TimeoutError as error:
            self._warnings.warn(f"A task could not be changed: other changes of it took {self._timeout_s:g} s")
            raise DatabaseUnavailable from error
        return lock
