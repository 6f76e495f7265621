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

    def __init__(self, timeout_s: float, warnings: PacedWarnings, undos: int = 1) -> None:
        self._timeout_s = timeout_s
        self._warnings = warnings
        # A lock disappears once nobody holds it or waits for it.
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._undos = asyncio.Semaphore(undos)

    async def acquire(self, task_id: UUID) -> asyncio.Lock:
        """Return the lock of a task, which the caller must release.

        Raises `DatabaseUnavailable` when the lock is not free within `timeout_s`.
        """
        lock = self._locks.get(task_id)
        if lock is None:
            lock = self._locks[task_id] = asyncio.Lock()
            await lock.acquire()
            return lock
        await self._wait_for(lock, "A task could not be changed: other changes of it")
        return lock

    async def acquire_for_undo(self) -> asyncio.Semaphore:
        """Return the semaphore of all undos, which the caller must release.

        Only the statement finds out which task it changes, so undos can wait for a row with a connection, but
        only `undos` of them at a time. Raises as `acquire` does.
        """
        await self._wait_for(self._undos, "A change could not be undone: other undos")
        return self._undos

    async def _wait_for(self, lock: asyncio.Lock | asyncio.Semaphore, reason: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await lock.acquire()
        except TimeoutError as error:
            self._warnings.warn(f"{reason} took {self._timeout_s:g} s")
            raise DatabaseUnavailable from error
