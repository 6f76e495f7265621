"""Locks for the tasks that are being changed."""

import asyncio
import gc
import logging
from uuid import UUID, uuid4

import pytest

from src.database.task_locks import TaskLocks
from src.exceptions.errors import DatabaseUnavailable
from src.observability.log import PacedWarnings
from tests.support.waiting import PATIENCE_S

TASK = uuid4()
WARNINGS = PacedWarnings(logging.getLogger(__name__))


class Callers:
    """Callers who lock a task, note when they hold the lock, and release it when they are told to."""

    def __init__(self, locks: TaskLocks) -> None:
        self._locks = locks
        self._may_release = {name: asyncio.Event() for name in "abcd"}
        self.held: list[str] = []

    async def come(self, name: str, task_id: UUID = TASK) -> "asyncio.Task[None]":
        """Let a caller come, and get as far as it can at once."""
        caller = asyncio.create_task(self._hold(name, task_id))
        await settle()
        return caller

    async def _hold(self, name: str, task_id: UUID) -> None:
        lock = await self._locks.acquire(task_id)
        try:
            self.held.append(name)
            await self._may_release[name].wait()
        finally:
            lock.release()

    def release(self, name: str) -> None:
        self._may_release[name].set()


async def settle() -> None:
    """Let every caller do what it can at once."""
    for _ in range(10):
        await asyncio.sleep(0)


def is_empty(locks: TaskLocks) -> bool:
    gc.collect()
    return not locks._locks


@pytest.fixture
def locks() -> TaskLocks:
    return TaskLocks(PATIENCE_S, WARNINGS)


@pytest.fixture
async def callers(locks: TaskLocks) -> Callers:
    return Callers(locks)


async def test_the_first_to_come_is_the_first_to_hold_the_lock(locks: TaskLocks, callers: Callers) -> None:
    all_of_them = [await callers.come(name) for name in "abcd"]
    for number, name in enumerate("abcd", start=1):
        assert callers.held == list("abcd")[:number]
        callers.release(name)
        await settle()
    await asyncio.gather(*all_of_them)
    assert is_empty(locks)


async def test_tasks_do_not_wait_for_each_other(callers: Callers) -> None:
    await callers.come("a")
    await callers.come("b", uuid4())
    assert callers.held == ["a", "b"]


async def test_a_newcomer_does_not_overtake_a_waiter_at_a_release(callers: Callers) -> None:
    await callers.come("a")
    await callers.come("b")
    callers.release("a")
    await callers.come("c")
    assert callers.held == ["a", "b"]


async def test_a_waiter_who_leaves_is_passed_over(callers: Callers) -> None:
    first, second, third, _ = [await callers.come(name) for name in "abcd"]
    third.cancel()
    await settle()
    callers.release("a")
    callers.release("b")
    await asyncio.gather(first, second)
    await settle()
    assert callers.held == ["a", "b", "d"]


async def test_a_waiter_who_leaves_just_before_a_release_is_passed_over(locks: TaskLocks) -> None:
    held = await locks.acquire(TASK)
    waiting = [asyncio.create_task(locks.acquire(TASK)) for _ in range(2)]
    await settle()
    # Both at one moment: the cancelled waiter has had no time to leave.
    waiting[0].cancel()
    held.release()
    (await waiting[1]).release()
    assert waiting[0].cancelled()
    del held, waiting
    await settle()
    assert is_empty(locks)


async def test_a_lock_granted_to_a_waiter_who_leaves_goes_to_the_next(locks: TaskLocks) -> None:
    held = await locks.acquire(TASK)
    waiting = [asyncio.create_task(locks.acquire(TASK)) for _ in range(2)]
    await settle()
    # Both at one moment: the lock is granted, and the waiter never runs.
    held.release()
    waiting[0].cancel()
    (await waiting[1]).release()
    assert waiting[0].cancelled()
    del held, waiting
    await settle()
    assert is_empty(locks)


async def test_a_caller_who_fails_releases_the_lock(callers: Callers) -> None:
    first, _ = await callers.come("a"), await callers.come("b")
    first.cancel()
    await settle()
    assert callers.held == ["a", "b"]


async def test_a_caller_does_not_wait_longer_than_the_timeout(caplog: pytest.LogCaptureFixture) -> None:
    locks = TaskLocks(0.01, WARNINGS)
    held = await locks.acquire(TASK)
    with pytest.raises(DatabaseUnavailable):
        await locks.acquire(TASK)
    assert caplog.messages == ["A task could not be changed: other changes of it took 0.01 s"]
    held.release()
    await locks.acquire(TASK)


async def test_a_few_undos_run_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    locks = TaskLocks(0.01, WARNINGS, undos=2)
    undos, _ = await locks.acquire_for_undo(), await locks.acquire_for_undo()
    with pytest.raises(DatabaseUnavailable):
        await locks.acquire_for_undo()
    assert caplog.messages == ["A change could not be undone: other undos took 0.01 s"]
    await locks.acquire(TASK)
    undos.release()
    await locks.acquire_for_undo()


async def test_every_waiter_may_leave(locks: TaskLocks, callers: Callers) -> None:
    _, *others = [await callers.come(name) for name in "abcd"]
    for caller in others:
        caller.cancel()
    await settle()
    callers.release("a")
    await settle()
    assert callers.held == ["a"]
    del _, others, caller
    assert is_empty(locks)
