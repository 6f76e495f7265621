"""The indexes for searches, which are built after the migrations, while everything else goes on.

They are not part of a migration. On ten million entries they take minutes to build, and a migration locks its
tables. And a server may refuse pg_trgm, the extension that they need: a trusted one of PostgreSQL's contrib.
Without them, searches find the same rows, more slowly.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from psycopg2.errors import FeatureNotSupported, InsufficientPrivilege, UndefinedFile
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from config import Settings
from src.database.faults import reason_of
from src.database.migrate import engine_for

log = logging.getLogger(__name__)

# The texts of a row that a search looks through. No word has a space in it, so none is found across the two.
TASK_TEXT = "(title || ' ' || coalesce(description, ''))"
ENTRY_TEXT = "(description || ' ' || coalesce(task_title, ''))"

INDEXES = {"ix_tasks_text": ("tasks", TASK_TEXT), "ix_task_history_text": ("task_history", ENTRY_TEXT)}

# New rows go to a list, which the caller who fills it adds to the index. With the default of 4 MB, that caller waits
# for up to a second.
_OPTIONS = "WITH (gin_pending_list_limit = 256)"

# Any number will do, as long as nothing else takes an advisory lock on it.
ADVISORY_LOCK = 20_261_122

_EXTENSION_SCHEMA = text(
    "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace"
    " WHERE extname = 'pg_trgm'"
)
_INDEXES = text(
    "SELECT name, to_regclass(name) IS NOT NULL AS is_there, coalesce(indisvalid, false) AS is_valid"
    " FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS given (name, place)"
    " LEFT JOIN pg_index ON indexrelid = to_regclass(name) ORDER BY place"
)


def build_search_indexes(settings: Settings) -> None:
    """Build the indexes that are missing, unless another process is already building them.

    If that is impossible, the log says why.
    """
    try:
        with _only_builder(settings) as connection:
            if connection is not None:
                _build(connection)
    except DBAPIError as error:
        log.warning("The indexes for searches were not built: %s", _reason(error))


def build_search_indexes_in_background(settings: Settings) -> None:
    """Do so on a thread of its own, if indexes are missing. They stay incomplete if the process ends first."""
    try:
        with engine_for(settings).connect() as connection:
            is_complete = not _unfinished(connection)
    except DBAPIError as error:
        log.warning("The indexes for searches are unknown: %s", _reason(error))
        return
    if not is_complete:
        Thread(target=build_search_indexes, args=[settings], name="search-indexes", daemon=True).start()


@contextmanager
def _only_builder(settings: Settings) -> Iterator[Connection | None]:
    """Yield a connection in autocommit mode, or None while another process builds.

    The lock belongs to a transaction on a second connection, because a session's lock would not work through a
    pooler. Between its statements that transaction has no snapshot, which the build would wait for.
    """
    engine = engine_for(settings)
    with engine.connect() as guard:
        if not guard.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK}):
            yield None
            return
        guard.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # The role or the database may have limits that are meant for requests.
            connection.execute(text("SELECT set_config('statement_timeout', '0', false)"))
            try:
                yield connection
            finally:
                # A pooler would hand the setting on to its next client. SET LOCAL is no use to CREATE INDEX
                # CONCURRENTLY, which allows no transaction around it.
                with suppress(SQLAlchemyError):
                    connection.execute(text("RESET statement_timeout"))


def _build(connection: Connection) -> None:
    unfinished = _unfinished(connection)
    if not unfinished:
        return
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except DBAPIError as error:
        if not isinstance(error.orig, FeatureNotSupported | InsufficientPrivilege | UndefinedFile):
            raise
        log.info("Searches read every row, because the database has no extension pg_trgm: %s", _reason(error))
        return
    schema = connection.scalar(_EXTENSION_SCHEMA)
    for name, is_there in unfinished.items():
        table, searched = INDEXES[name]
        # A build that was interrupted leaves an index that is updated and never read.
        drop = text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        if is_there:
            connection.execute(drop)
        log.info("Building the index %s, for searches", name)
        index = f"{name} ON {table} USING gin ({searched} {schema}.gin_trgm_ops) {_OPTIONS}"
        try:
            connection.execute(text(f"CREATE INDEX CONCURRENTLY {index}"))
        except DBAPIError as error:
            if not error.connection_invalidated:
                connection.execute(drop)
            raise
        # Without statistics on the indexed text, the planner takes every word for a rare one.
        connection.execute(text(f"ANALYZE {table}"))
        log.info("The index %s is complete", name)


def _unfinished(connection: Connection) -> dict[str, bool]:
    """Return the names of the indexes that cannot be used yet, and whether each is there."""
    found = connection.execute(_INDEXES, {"names": list(INDEXES)})
    return {index.name: index.is_there for index in found if not index.is_valid}


def _reason(error: DBAPIError) -> str:
    return reason_of(error.orig) if isinstance(error.orig, Exception) else str(error)
