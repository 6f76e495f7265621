"""A listener's events, sent by its stream's task or written past it."""

import asyncio
from collections.abc import Callable
from itertools import count

import pytest

from src.services.listener import Listener

PARTS = [f"{number}\n".encode() for number in range(40)]


def always(_: int) -> bool:
    return True


def never(_: int) -> bool:
    return False


def in_turns_of(length: int) -> Callable[[int], bool]:
    return lambda call: call // length % 2 == 0


@pytest.mark.parametrize("takes", [always, never, in_turns_of(1), in_turns_of(3)])
async def test_the_events_arrive_in_order_however_often_the_connection_is_full(takes: Callable[[int], bool]) -> None:
    listener = Listener(None, is_malformed=False)
    arrived: list[bytes] = []
    calls = count()

    def write(events: bytes) -> bool:
        if is_taken := takes(next(calls)):
            arrived.append(events)
        return is_taken

    async def send_all() -> None:
        listener.write = write
        while (events := await listener.next()) is not None:
            # As the server does until a full connection takes more.
            await asyncio.sleep(0)
            arrived.append(events)

    sending = asyncio.create_task(send_all())
    listener.begin("")
    for number, part in enumerate(PARTS):
        listener.tell(part)
        # Sometimes the task gets to the end of its work, and sometimes not.
        for _ in range(number % 7):
            await asyncio.sleep(0)
    listener.end()
    await sending
    assert b"".join(arrived) == b"".join(PARTS)
    assert next(calls) > 0


async def test_nothing_is_written_past_the_task_of_a_stream_that_is_over() -> None:
    listener = Listener(None, is_malformed=False)
    written: list[bytes] = []

    def write(events: bytes) -> bool:
        written.append(events)
        return True

    listener.write = write
    waiting = asyncio.create_task(listener.next())
    await asyncio.sleep(0)
    listener.tell(b"first")
    listener.end()
    listener.tell(b"second")
    assert await waiting is None
    assert written == [b"first"]
