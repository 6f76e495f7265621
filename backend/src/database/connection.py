"""Connections to PostgreSQL: how they are opened, kept, checked and limited."""

import select
from typing import Any

from sqlalchemy import URL, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.exc import DisconnectionError

from config import DatabasePool, Settings


def create_database_engine(settings: Settings) -> Engine:
    """Return an engine whose every statement is a transaction of its own."""
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
        connect_args=connect_args(settings),
        **pool,
    )
    _replace_closed_connections(engine)
    return engine


def connect_args(settings: Settings) -> dict[str, Any]:
    """Return what libpq is told beside the URL. A silent network is noticed within `network_timeout_s`."""
    timeout_s = settings.network_timeout_s
    return {
        "connect_timeout": settings.connect_timeout_s,
        "client_encoding": "utf8",
        "application_name": "task-management-backend",
        # Probes for a connection that waits for an answer, a limit for one that sends.
        "keepalives_idle": max(1, timeout_s // 2),
        "keepalives_interval": max(1, timeout_s // 6),
        "keepalives_count": 3,
        "tcp_user_timeout": timeout_s * 1000,
    }


def _keeps_connections(url: URL, pool: DatabasePool) -> bool:
    if pool is DatabasePool.AUTO:
        # Neon suspends idle computes and pools connections on its own side.
        return not (url.host or "").endswith(".neon.tech")
    return pool is DatabasePool.QUEUE


def _replace_closed_connections(engine: Engine) -> None:
    """Notice without a round trip that the server has closed an idle connection, and open another.

    A server says nothing on an idle connection but that it ends, so a socket that can be read has
    nothing good to say. A new connection is not asked: TLS may have left a session ticket to read.
    """

    @event.listens_for(engine, "checkin")
    def note_use(dbapi_connection: Any, record: Any) -> None:
        record.info["used"] = True

    @event.listens_for(engine, "checkout")
    def refuse_closed(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        if "used" not in record.info:
            return
        poll = select.poll()
        poll.register(dbapi_connection, select.POLLIN)
        if poll.poll(0):
            raise DisconnectionError
