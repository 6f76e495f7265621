"""Turns at a task."""

import asyncio
import logging
from uuid import UUID, uuid4

import pytest

from src.database.turns import Turns
from src.exceptions.errors import DatabaseUnavailable
from src.observability.log import PacedWarnings
from tests.support.waiting import PATIENCE_S

TASK = uuid4()
WARNINGS = PacedWarnings(logging.getLogger(__name__))


class Callers:
    """Callers who take turns, and note when theirs comes. They end it when they are told to."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._may_end = {name: asyncio.Event() for name in "abcd"}
        self.began: list[str] = []

    async def come(self, name: str, task_id: UUID = TASK) -> "asyncio.Task[None]":
        """Have a caller come, and get as far as is possible at once."""
        caller = asyncio.create_task(self._take_turn(name, task_id))
        await settle()
        return caller

    async def _take_turn(self, name: str, task_id: UUID) -> None:
        await self._turns.begin(task_id)
        try:
            self.began.append(name)
            await self._may_end[name].wait()
        finally:
            self._turns.end(task_id)

    def end(self, name: str) -> None:
        self._may_end[name].set()


async def settle() -> None:
    """Let everybody do what is possible at once."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def turns() -> Turns:
    return Turns(PATIENCE_S, WARNINGS)


@pytest.fixture
async def callers(turns: Turns) -> Callers:
    return Callers(turns)


async def test_the_first_who_comes_is_the_first_whose_turn_it_is(turns: Turns, callers: Callers) -> None:
    all_of_them = [await callers.come(name) for name in "abcd"]
    for number, name in enumerate("abcd", start=1):
        assert callers.began == list("abcd")[:number]
        callers.end(name)
        await settle()
    await asyncio.gather(*all_of_them)
    assert turns._lines == {}


async def test_tasks_do_not_wait_for_each_other(callers: Callers) -> None:
    await callers.come("a")
    await callers.come("b", uuid4())
    assert callers.began == ["a", "b"]


async def test_whoever_comes_as_a_turn_is_given_on_does_not_push_in(callers: Callers) -> None:
    await callers.come("a")
    await callers.come("b")
    callers.end("a")
    await callers.come("c")
    assert callers.began == ["a", "b"]


async def test_a_caller_who_leaves_the_line_is_not_waited_for(callers: Callers) -> None:
    first, second, third, _ = [await callers.come(name) for name in "abcd"]
    third.cancel()
    await settle()
    callers.end("a")
    callers.end("b")
    await asyncio.gather(first, second)
    await settle()
    assert callers.began == ["a", "b", "d"]


async def test_a_caller_who_leaves_before_the_turn_is_given_on_is_passed_over(turns: Turns) -> None:
    await turns.begin(TASK)
    waiting = [asyncio.create_task(turns.begin(TASK)) for _ in range(2)]
    await settle()
    # Both at one moment: the cancelled one has had no time to leave the line.
    waiting[0].cancel()
    turns.end(TASK)
    await waiting[1]
    assert waiting[0].cancelled()
    turns.end(TASK)
    assert turns._lines == {}


async def test_a_turn_that_comes_as_its_caller_leaves_goes_to_the_next(turns: Turns) -> None:
    await turns.begin(TASK)
    waiting = [asyncio.create_task(turns.begin(TASK)) for _ in range(2)]
    await settle()
    # Both at one moment: the turn is given, and its owner never runs.
    turns.end(TASK)
    waiting[0].cancel()
    await waiting[1]
    assert waiting[0].cancelled()
    turns.end(TASK)
    assert turns._lines == {}


async def test_a_caller_who_fails_ends_its_turn(turns: Turns, callers: Callers) -> None:
    first, _ = await callers.come("a"), await callers.come("b")
    first.cancel()
    await settle()
    assert callers.began == ["a", "b"]


async def test_a_turn_that_does_not_come_in_time_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    turns = Turns(0.01, WARNINGS)
    await turns.begin(TASK)
    with pytest.raises(DatabaseUnavailable):
        await turns.begin(TASK)
    assert caplog.messages == ["A task could not be changed: other changes of it took 0.01 s"]
    turns.end(TASK)
    assert turns._lines == {}
    await turns.begin(TASK)


async def test_the_whole_line_may_leave(turns: Turns, callers: Callers) -> None:
    _, *others = [await callers.come(name) for name in "abcd"]
    for caller in others:
        caller.cancel()
    await settle()
    callers.end("a")
    await settle()
    assert callers.began == ["a"]
    assert turns._lines == {}
