"""Waiting for what must happen, on however busy a machine."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

# So long that only what never happens takes longer.
PATIENCE_S = 180.0

ValueT = TypeVar("ValueT")


def wait_until(
    look: Callable[[], ValueT],
    otherwise: Callable[[], object] = lambda: None,
    not_yet: tuple[type[Exception], ...] = (),
) -> ValueT:
    """Return what `look` finds, once it finds something true and raises no exception that means `not_yet`.

    `otherwise` says what there was instead.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(*not_yet):
            if found := look():
                return found
        assert time.monotonic() < deadline, f"It did not happen: {otherwise()}"
        time.sleep(0.02)
