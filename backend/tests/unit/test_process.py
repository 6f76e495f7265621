"""How signals end the process, whatever it is doing when they come."""

import io
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from config import ConfigurationError
from src.serving.process import ended_by_signals


class _Interrupted(io.StringIO):
    """A stream that SIGTERM interrupts as it is written to."""

    def write(self, text: str) -> int:
        signal.raise_signal(signal.SIGTERM)
        return super().write(text)


@pytest.fixture
def server() -> Iterator[uvicorn.Server]:
    """A server that handles SIGTERM, as uvicorn's does during the start."""
    server = uvicorn.Server(uvicorn.Config(app=""))
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    yield server
    signal.signal(signal.SIGTERM, before)


def test_a_signal_ends_a_start_that_is_writing_its_log(server: uvicorn.Server) -> None:
    handler = logging.StreamHandler(_Interrupted())
    with pytest.raises(ConfigurationError, match=r"SIGTERM ended the start\."), ended_by_signals():
        handler.handle(logging.makeLogRecord({"msg": "Waiting for the database"}))
    assert signal.getsignal(signal.SIGTERM) == server.handle_exit


def test_a_second_signal_does_not_interrupt_the_end_of_the_start(server: uvicorn.Server) -> None:
    @contextmanager
    def interrupted_at_its_end() -> Iterator[None]:
        try:
            yield
        finally:
            signal.raise_signal(signal.SIGINT)

    ended = pytest.raises(ConfigurationError, match=r"SIGTERM ended the start\.")
    with ended, ended_by_signals(), interrupted_at_its_end():
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_before_the_start_ends_it(server: uvicorn.Server) -> None:
    server.should_exit = True
    with pytest.raises(ConfigurationError, match=r"A signal ended the start\."), ended_by_signals():
        pytest.fail("The start began.")
