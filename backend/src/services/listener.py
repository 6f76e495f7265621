"""One caller who listens to events."""

import asyncio
from collections.abc import Callable

from src.services.event_positions import EventPosition

# A listener that reads more slowly than entries are written is dropped when this much waits for it.
_MOST_UNREAD_BYTES = 1024 * 1024


class Listener:
    """One stream, and what it has not sent yet.

    `position` is where a resumed stream goes on. If `is_malformed`, its caller gave something else. `write` may send
    events past the stream's task; it returns False if it does not.
    """

    def __init__(self, position: EventPosition | None, *, is_malformed: bool) -> None:
        self.position, self.is_malformed = position, is_malformed
        self.is_over = False
        self.write: Callable[[bytes], bool] = lambda _: False
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._news = asyncio.Event()

    async def begun(self) -> None:
        """Return once the first events are there. Raises the error that prevents them."""
        await self._begun

    def begin(self, events: str) -> None:
        """Put the first events in front of those that the stream has been told of."""
        self._unread.insert(0, events.encode())
        self._unread_bytes += len(self._unread[0])
        self._news.set()
        if not self._begun.done():
            self._begun.set_result(None)

    def fail(self, error: Exception) -> None:
        """End the stream, with an `error` if it has not begun."""
        if not self._begun.done():
            self._begun.set_exception(error)
        self.end()

    async def next(self) -> bytes | None:
        """Return the next events, in UTF-8, once there are any; None when the stream is over."""
        if not self._unread and not self.is_over:
            self._news.clear()
            await self._news.wait()
        if not self._unread:
            return None
        events = b"".join(self._unread)
        self._unread.clear()
        self._unread_bytes = 0
        return events

    def tell(self, events: bytes) -> None:
        """Add events to send. If too much is unread, the stream is over: its caller reads too slowly."""
        # As long as there is no news, the stream's task has sent everything before this, and waits.
        if not self._news.is_set() and self.write(events):
            return
        # A single part may be longer: it was not the caller who made it wait.
        if self._unread and self._unread_bytes + len(events) > _MOST_UNREAD_BYTES:
            self._unread.clear()
            self.end()
        elif not self.is_over:
            self._unread.append(events)
            self._unread_bytes += len(events)
            self._news.set()

    def end(self) -> None:
        """End the stream, after what is unread."""
        self.is_over = True
        self._news.set()
        if not self._begun.done():
            self._begun.set_result(None)
