"""The limit on the connections of a process, and the choice of the one to close for a new one.

These limits apply before a request is complete, and so before the service asks for an API key: they are
all that protects it from anybody who can reach the port. Delete this once uvicorn makes room for a new
connection by closing one that waits for its caller; its `limit_concurrency` refuses the new one.
"""

import asyncio
import logging
import resource
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from config import Settings
from src.observability.metrics import refused_connections
from src.serving.refusals import Refusal

if TYPE_CHECKING:
    from src.serving.protocol import PatientProtocol

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 1.0
# For files, pipes and probes, on top of the connections to the database.
_OTHER_DESCRIPTORS = 100


def possible_connections(settings: Settings) -> int:
    """Return how many connections of callers the process takes: MAX_CONNECTIONS, or fewer if it cannot open as many."""
    others = _OTHER_DESCRIPTORS + 2 * settings.database_pool_size
    # A caller may need a second descriptor, for the temporary file of a list.
    possible = (_descriptors(others + 2 * settings.max_connections) - others) // 2
    return max(1, min(settings.max_connections, possible))


def _descriptors(wanted: int) -> int:
    """Let the process open `wanted` files, or as many as it may, and return that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    # macOS refuses more than a limit of its own, even if the hard limit is infinite.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        return possible
    return soft


class Connections:
    """Keeps the number of connections within `limit`, and checks each once a second.

    A new connection takes the place of one that waits for its caller: the oldest that has never sent a
    request, or else the one whose last request is the longest ago.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The first two are in the order of arrival, the third in the order of the last answers.
        self._open: dict[PatientProtocol, None] = {}
        self._unproven: dict[PatientProtocol, None] = {}
        self._idle: dict[PatientProtocol, None] = {}
        self._refused: Counter[Refusal] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: "PatientProtocol") -> bool:
        """Admit a new connection. Return False if all the others are being served, so that none can go."""
        if len(self._open) >= self._limit:
            waiting = next(iter(self._unproven or self._idle), None)
            if waiting is None:
                return False
            self.remove(waiting)
            waiting.make_room()
        self._open[connection] = self._unproven[connection] = None
        if self._timer is None:
            self._check_later()
        return True

    def serve(self, connection: "PatientProtocol") -> None:
        """Note that a whole request has arrived: the connection waits for the service, not for its caller."""
        self._unproven.pop(connection, None)
        self._idle.pop(connection, None)

    def wait(self, connection: "PatientProtocol") -> None:
        """Note that the last request is answered: the connection waits for its caller."""
        if connection in self._open:
            self._idle[connection] = None

    def remove(self, connection: "PatientProtocol") -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection, None)
        self.serve(connection)

    def count(self, reason: Refusal) -> None:
        """Count a connection that the service ended, in the metrics and for the next line of the log, within 1 s."""
        refused_connections.labels(reason).inc()
        self._refused[reason] += 1

    def _check_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_CHECK_INTERVAL_S, self._check, loop)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for connection in list(self._open):
            connection.check(loop.time())
        if self._refused:
            reasons = ", ".join(f"{number} ({reason})" for reason, number in self._refused.most_common())
            log.warning("Connections ended by the service: %s", reasons)
            self._refused.clear()
        if self._open:
            self._check_later()
