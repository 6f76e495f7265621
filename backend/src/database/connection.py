"""Connections to PostgreSQL, and the one way to run a statement on them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import URL, Engine, Executable, NullPool, QueuePool, Row, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from config import DatabasePool, Settings
from src.exceptions.errors import DatabaseUnavailable

# SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) that speak of the
# server and not of the statement: connections lost, resources exhausted, an operator's or a
# timeout's intervention, a lock not granted in time.
_UNAVAILABLE_SQLSTATES = ("08", "53", "57", "55P03")


class Database:
    """Runs statements, each in a transaction of its own and in one round trip.

    A statement is committed when it returns and undone when it raises. A connection is held only
    while its statement runs, so no caller, however slow, can keep a transaction open.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = create_database_engine(settings)

    def run(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Return the rows of `statement`.

        Raises `DatabaseUnavailable` when the database cannot be reached, or does not finish the
        statement within the statement timeout.
        """
        try:
            with self.engine.connect() as connection:
                return connection.execute(statement, parameters).all()
        except PoolTimeoutError as error:
            raise DatabaseUnavailable from error
        except DBAPIError as error:
            if is_unavailable(error):
                raise DatabaseUnavailable from error
            raise

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()


def create_database_engine(settings: Settings) -> Engine:
    """Return an engine whose every execution is one transaction, bounded by the statement timeout."""
    url = settings.require_database_url()
    pool: dict[str, Any] = {"poolclass": NullPool}
    if _keeps_connections(url, settings.database_pool):
        pool = {"poolclass": QueuePool, "pool_size": settings.database_pool_size, "max_overflow": 0}
    engine = create_engine(
        url,
        # One statement is one transaction: nothing to begin, to commit, or to roll back, and
        # so no round trips but the statement's own.
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        hide_parameters=True,
        echo=settings.debug,
        connect_args={
            "connect_timeout": settings.connect_timeout_s,
            "client_encoding": "utf8",
            "application_name": "task-management-backend",
        },
        **pool,
    )
    _limit_statements(engine, settings.statement_timeout_s)
    return engine


def is_unavailable(error: DBAPIError) -> bool:
    """Tell whether the database, and not the statement, is at fault."""
    sqlstate: str | None = getattr(error.orig, "pgcode", None)
    if sqlstate is None:
        # libpq gives no SQLSTATE when it cannot connect or loses the connection.
        return isinstance(error, OperationalError) or error.connection_invalidated
    return sqlstate.startswith(_UNAVAILABLE_SQLSTATES)


def _keeps_connections(url: URL, pool: DatabasePool) -> bool:
    if pool is DatabasePool.AUTO:
        # Neon suspends idle computes and pools connections on its own side.
        return not (url.host or "").endswith(".neon.tech")
    return pool is DatabasePool.QUEUE


def _limit_statements(engine: Engine, timeout_s: float) -> None:
    """Let the server end any statement, and with it any wait for a lock, after `timeout_s`.

    The limit travels with the statement, in the same message and transaction: a pooler in
    transaction mode refuses start-up options and would hand a session's SET to other clients.
    """
    limit = f"SET LOCAL statement_timeout = {round(timeout_s * 1000)}; "

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def add_limit(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        return limit + statement, parameters
