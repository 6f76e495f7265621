"""The process that serves: how signals end it, and which objects its garbage collector skips."""

import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from config import ConfigurationError


class _Ended(BaseException):
    """A signal that ends the start. No `except Exception` may swallow it: that of `logging` would."""


def unwind_on_signals() -> None:
    """Let Ctrl-C and SIGTERM raise, so that every `with` block is left in order and the embedded PostgreSQL stops."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())


def uvicorn_server() -> uvicorn.Server | None:
    """Return the server that handles this process's signals; None if uvicorn does not run the application."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


def is_stopping() -> bool:
    """Whether a signal has told this process's server to stop."""
    server = uvicorn_server()
    return server is not None and server.should_exit


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end a start that waits for its database: uvicorn acts on them only after the start.

    Raises `ConfigurationError` for such a signal. If another program runs the application, as pytest
    does, that program keeps its own handlers.
    """
    server = uvicorn_server()
    if server is None:
        yield
        return

    is_ending = False

    def end(signal_number: int, frame: FrameType | None) -> None:
        nonlocal is_ending
        # Another signal must not interrupt what the first one unwinds: uvicorn's reloader sends a second one.
        if not is_ending:
            is_ending = True
            raise _Ended(f"{signal.Signals(signal_number).name} ended the start.")

    handlers = {which: signal.signal(which, end) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        if server.should_exit:
            raise _Ended("A signal ended the start.")
        yield
    except _Ended as ended:
        raise ConfigurationError(str(ended)) from None
    finally:
        for which, handler in handlers.items():
            signal.signal(which, handler)


@contextmanager
def long_lived_objects() -> Iterator[None]:
    """Exempt every object that exists now from garbage collection, until the block is left.

    Scanning them again and again would take a fifth of the time of a request.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
