"""How many connections there are, and which are kept."""

import asyncio

from config import DatabasePool, Settings
from src.database.connection import Connection
from src.observability.metrics import connections, connections_wanted


class Pool:
    """At most `database_pool_size` connections, opened when they are needed. `name` is for the metrics."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._keeps_connections = keeps_connections(settings)
        self._free = asyncio.Semaphore(settings.database_pool_size)
        self._idle: list[Connection] = []
        self._in_use = connections.labels(name, "used")
        self._wanted = connections_wanted.labels(name)

    async def acquire(self) -> Connection:
        """Return a connection of the caller's own, to be released.

        Raises `TimeoutError` when none is free within `queue_timeout_s`, `psycopg2.Error` when none can
        be opened.
        """
        if self._free.locked():
            await self._wait_in_line()
        else:
            await self._free.acquire()
        self._in_use.inc()
        try:
            # The one used last, whose caches are warm.
            while self._idle:
                connection = self._idle.pop()
                if connection.is_usable():
                    return connection
                connection.close()
            return await Connection.open(self._settings)
        except BaseException:
            self._give_back()
            raise

    async def _wait_in_line(self) -> None:
        patience_s = self._settings.queue_timeout_s
        try:
            with self._wanted.track_inprogress():
                async with asyncio.timeout(patience_s):
                    await self._free.acquire()
        except TimeoutError as error:
            raise TimeoutError(f"no connection was free within {patience_s:g} s") from error

    def release(self, connection: Connection) -> None:
        """Take the connection back, which may have failed, or be in the middle of a statement."""
        if self._keeps_connections and connection.is_usable():
            self._idle.append(connection)
        else:
            connection.close()
        self._give_back()

    def _give_back(self) -> None:
        self._in_use.dec()
        self._free.release()

    def close(self) -> None:
        """Close the connections, which must not be in use."""
        while self._idle:
            self._idle.pop().close()


def keeps_connections(settings: Settings) -> bool:
    """Whether connections are kept when they are not in use."""
    if settings.database_pool is DatabasePool.AUTO:
        # Neon suspends idle computes and pools connections on its own side.
        return not (settings.require_database_url().host or "").endswith(".neon.tech")
    return settings.database_pool is DatabasePool.QUEUE
