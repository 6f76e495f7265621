"""Waiting for something that must happen, however busy the machine is."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

# If something takes longer, it will never happen.
PATIENCE_S = 180.0

ValueT = TypeVar("ValueT")


def wait_until(
    look: Callable[[], ValueT],
    otherwise: Callable[[], object] = lambda: None,
    not_yet: tuple[type[Exception], ...] = (),
) -> ValueT:
    """Call `look` until it returns something true, and return that.

    An exception of the types `not_yet` counts as false. Raises AssertionError after PATIENCE_S, with
    what `otherwise` returns.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(*not_yet):
            if found := look():
                return found
        assert time.monotonic() < deadline, f"It did not happen: {otherwise()}"
        time.sleep(0.02)
