"""New entries of the history for everybody who listens, as Server-Sent Events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextvars import Context

from src.database.database import Database
from src.exceptions.errors import DatabaseUnavailable, SchemaOutdated, TooManyListeners
from src.observability.metrics import listeners as listeners_gauge
from src.services.event_positions import EventPosition
from src.services.listener import Listener
from src.services.new_entries import find_new_entries

log = logging.getLogger(__name__)

# How often one statement looks for new entries, for all who are up to date.
_INTERVAL_S = 0.25
# A listener hears something at least this often, so that both sides notice when the other is gone.
_LONGEST_SILENCE_S = 10.0
# How soon a caller should come back after it has lost its stream.
_RETRY = "retry: 3000\n"


class EventFeed:
    """Tells every listener of every new entry, whoever wrote it and however late its transaction was committed.

    While anybody listens, one statement each 250 ms finds the entries that are not in the last position. Nothing
    depends on the state of a session, so poolers may stand in between. It reads from the primary, because a
    snapshot of a replica does not tell which transactions are in progress.
    """

    def __init__(self, database: Database, most_listeners: int, is_stopping: Callable[[], bool]) -> None:
        self._database = database
        self._most_listeners = most_listeners
        self._is_stopping = is_stopping
        # Those that wait for the next look, and those that are told of what it finds. The latter share one position.
        self._joining: set[Listener] = set()
        self._listening: set[Listener] = set()
        # Of the latter, those that wait for what they have missed, in the order in which they came.
        self._resuming: dict[EventPosition, list[Listener]] = {}
        self._position: EventPosition | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._told_at = 0.0

    async def listen(self, after: str | None) -> Listener:
        """Return a new stream: all entries from now on, and before them those since the position `after`.

        Hand it back to `leave`. Raises `TooManyListeners`, and as `Database.run` does.
        """
        if len(self._joining) + len(self._listening) >= self._most_listeners:
            raise TooManyListeners
        position = EventPosition.parse(after) if after else None
        listener = Listener(position, is_malformed=bool(after) and position is None)
        self._joining.add(listener)
        listeners_gauge.inc()
        if self._timer is None:
            self._tick()
        try:
            await listener.begun()
        except BaseException:
            self.leave(listener)
            raise
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a listener."""
        listener.end()
        if listener in self._joining or listener in self._listening:
            listeners_gauge.dec()
        self._joining.discard(listener)
        self._listening.discard(listener)

    def _tick(self) -> None:
        """Do what is due, and come back as long as anybody listens."""
        self._timer = None
        everybody = [*self._joining, *self._listening]
        if not everybody:
            self._position = None
            return
        if self._is_stopping():
            for listener in everybody:
                listener.end()
        if time.monotonic() - self._told_at > _LONGEST_SILENCE_S:
            self._tell(":\n\n")
        if self._looking is None or self._looking.done():
            self._looking = _in_background(self._look())
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL_S, self._tick, context=Context())

    async def _look(self) -> None:
        """Find new entries and tell those who listen, then let others join."""
        joining = list(self._joining)
        try:
            found = await find_new_entries(self._database, self._position)
        except (DatabaseUnavailable, SchemaOutdated) as error:
            # Those who listen lose nothing: the next look has the same position to start from.
            _fail(joining, error)
            return
        except Exception as error:
            log.exception("Nobody can listen")
            _fail([*joining, *self._listening], error)
            return
        if self._position is not None:
            self._tell(_events(self._position, found.present, found.entries))
        self._position = found.present
        for listener in self._joining.intersection(joining):
            self._joining.remove(listener)
            self._listening.add(listener)
            if listener.is_malformed:
                listener.begin(_RETRY + _reset(found.present))
            elif listener.position is None:
                listener.begin(f"{_RETRY}id: {found.present}\n\n")
            else:
                self._resuming.setdefault(listener.position, []).append(listener)
        if self._resuming and (self._catching_up is None or self._catching_up.done()):
            self._catching_up = _in_background(self._catch_up())

    async def _catch_up(self) -> None:
        """Begin the resumed streams with what they have missed.

        Each position has a statement of its own, so that no caller's position matters to others. Callers who have
        lost their streams at the same moment share one. They are told of new entries meanwhile: some come twice.
        """
        while self._resuming:
            position = next(iter(self._resuming))
            listeners = self._resuming.pop(position)
            try:
                found = await find_new_entries(self._database, position)
            except (DatabaseUnavailable, SchemaOutdated) as error:
                _fail(listeners, error)
                continue
            except Exception as error:
                log.exception("Nobody can resume from %s", position)
                _fail(listeners, error)
                continue
            events = _events(position, found.present, found.entries)
            beginning = _RETRY + events if found.entries is None else f"{_RETRY}id: {position}\n\n{events}"
            for listener in listeners:
                listener.begin(beginning)

    def _tell(self, events: str) -> None:
        if not events:
            return
        self._told_at = time.monotonic()
        chunk = events.encode()
        for listener in list(self._listening):
            listener.tell(chunk)
            if listener.is_over:
                self.leave(listener)


def _in_background(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    # Not in the context of the request that happens to be the first.
    return asyncio.get_running_loop().create_task(work, context=Context())


def _fail(listeners: list[Listener], error: Exception) -> None:
    for listener in listeners:
        listener.fail(error)


def _events(before: EventPosition, present: EventPosition, entries: list[str] | None) -> str:
    """Return the events of `entries`. Only the last one leads to `present`.

    A caller who loses the stream in between gets all of them again.
    """
    if entries is None:
        return _reset(present)
    positions = [str(before)] * (len(entries) - 1) + [str(present)]
    return "".join(f"event: change\nid: {it}\ndata: {json}\n\n" for it, json in zip(positions, entries, strict=False))


def _reset(present: EventPosition) -> str:
    """Return the event that has a caller read everything again. Browsers ignore an event without data."""
    return f"event: reset\nid: {present}\ndata: {{}}\n\n"
