"""A line that counts bytes while they go by."""

import sys
import time
from types import TracebackType
from typing import Self

_INTERVAL_S = 0.2


class Progress:
    """Shows on standard error how many bytes have gone by: all the time on a terminal, elsewhere at the end."""

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._bytes = 0
        self._shown_at = 0.0
        self._is_terminal = sys.stderr.isatty()

    def add(self, count: int) -> None:
        """Count `count` bytes more."""
        self._bytes += count
        if self._is_terminal and time.monotonic() - self._shown_at > _INTERVAL_S:
            self._shown_at = time.monotonic()
            self._show("\r", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._show("\r" if self._is_terminal else "", "\n")
        elif self._is_terminal and self._shown_at:
            print(file=sys.stderr)  # noqa: T201  # It is the output.

    def _show(self, start: str, end: str) -> None:
        line = f"{start}{self._activity}: {self._bytes:,} bytes"
        print(line, end=end, file=sys.stderr, flush=True)  # noqa: T201  # It is the output.
