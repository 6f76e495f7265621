"""The connection pool."""

import asyncio

from config import DatabasePool, Settings
from src.database.connection import Connection
from src.observability.metrics import connections, connections_wanted


class Pool:
    """At most `database_pool_size` connections, opened when first needed. `name` labels its metrics.

    SQLAlchemy's pool holds connections that block a thread, and psycopg2's own pool fails when it is empty:
    it does not wait. A driver with an asynchronous pool would replace this file.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._keeps_connections = keeps_connections(settings)
        self._free = asyncio.Semaphore(settings.database_pool_size)
        self._idle: list[Connection] = []
        self._in_use = connections.labels(name, "used")
        self._wanted = connections_wanted.labels(name)

    def lease(self) -> "Lease":
        """Return a connection for the length of an `async with` block.

        Entering it raises `TimeoutError` when no connection is free within `queue_timeout_s`, and
        `psycopg2.Error` when none can be opened.
        """
        return Lease(self)

    async def acquire(self) -> Connection:
        """Return a connection, which the caller must release. Raises as `lease` does."""
        if self._free.locked():
            await self._wait_in_line()
        else:
            await self._free.acquire()
        self._in_use.inc()
        try:
            # The connection used last has the warmest caches.
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
        """Take back a connection, which may have failed or still be running a statement."""
        if self._keeps_connections and connection.is_usable():
            self._idle.append(connection)
        else:
            connection.close()
        self._give_back()

    def _give_back(self) -> None:
        self._in_use.dec()
        self._free.release()

    def close(self) -> None:
        """Close the connections, none of which may be in use."""
        while self._idle:
            self._idle.pop().close()


class Lease:
    """A connection of a pool, for the length of an `async with` block.

    A class, because contextlib's decorator would take three times as long, for every statement.
    """

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        self._connection = await self._pool.acquire()
        return self._connection

    async def __aexit__(self, *failure: object) -> None:
        self._pool.release(self._connection)


def keeps_connections(settings: Settings) -> bool:
    """Tell whether the pool keeps connections that are not in use."""
    if settings.database_pool is DatabasePool.AUTO:
        # Neon suspends idle computes and pools connections on its own side.
        return not (settings.require_database_url().host or "").endswith(".neon.tech")
    return settings.database_pool is DatabasePool.QUEUE
