"""Runs migrations, for the command line and for `src.database.migrate`."""

import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from alembic.util import CommandError
from psycopg2.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

import src.models  # noqa: F401  # Registers the tables with the metadata.
from alembic import command, context
from config import ConfigurationError, load_settings
from src.database.base import Base
from src.database.migrate import ADVISORY_LOCK
from src.database.search_indexes import INDEXES as SEARCH_INDEXES
from src.database.search_indexes import build_search_indexes
from src.embedded_postgres.programs import EmbeddedPostgresError
from src.embedded_postgres.provision import provided_database

log = logging.getLogger(__name__)

# How long a migration pauses, and others go on, before it tries again to lock the tables that they use.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 0.6

# Waiting for another migration holds nobody up: no table is locked yet.
ADVISORY_LOCK_TIMEOUT_S = 15
# How long to wait for the first table. It is long enough for PostgreSQL to cancel an autovacuum that holds the
# table, which it does when it checks for a deadlock, and short enough for those who queue behind the migration.
FIRST_LOCK_TIMEOUT_MS = 1500

# The tables of the models, and one that only an earlier schema has. Other tables of the database are not ours.
TABLES = [*Base.metadata.tables, "count_changes"]
EXISTING_TABLES = text(
    "SELECT relname, quote_ident(nspname) || '.' || quote_ident(relname) AS qualified"
    " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE nspname = current_schema() AND relname = ANY (:tables) AND relkind IN ('r', 'p', 'v')"
    " ORDER BY relkind = 'v', relname <> :first, relname <> 'tasks'"
)
# The timeout for each of the other tables: together they take at most half of deadlock_timeout (or of a second,
# if that is less). Zero would mean no limit.
OTHER_LOCK_TIMEOUT = text(
    "SELECT set_config('lock_timeout', greatest(1, floor(extract(epoch FROM least("
    "current_setting('deadlock_timeout')::interval, '1 second')) * 1000 / 2 / :tables))::text, true)"
)

Plan = Callable[..., Iterable[Any]]


class TableInUse(Exception):
    """A lock on a table was not granted in time."""

    def __init__(self, table: str) -> None:
        super().__init__(f"The table {table} is in use")
        self.table = table


def migrate(connection: Connection, patience_s: float) -> None:
    """Migrate in one transaction: the schema changes as a whole or not at all.

    If a lock is not granted in time, the transaction is rolled back, which lets those who wait for it go on,
    and tried again. Raises `CommandError` if no attempt succeeds within `patience_s`.
    """
    context.configure(connection=connection)
    plan: Plan = context.get_context().opts["fn"]
    deadline = time.monotonic() + patience_s
    first = ""
    is_waiting = False
    while True:
        try:
            with connection.begin():
                attempt(connection, plan, first)
            return
        except TableInUse as error:
            # The next attempt locks this table first, and so waits for it while nothing else is locked.
            first, reason = error.table, str(error)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
            reason = "Another migration is running, or something other than a table is in use"
        if time.monotonic() > deadline:
            raise CommandError(f"{reason}; nothing was migrated within {patience_s:g} s.")
        if not is_waiting:
            log.warning("%s; the migration waits for %g s at most", reason, patience_s)
            is_waiting = True
        time.sleep(random.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S))  # noqa: S311  # Not a secret.


def attempt(connection: Connection, plan: Plan, first: str) -> None:
    """Run the steps of `plan`, if there are any, with every table locked, `first` before the others.

    The advisory lock lets one of several processes that start at once do the work; the others then
    find it done. It ends with the transaction, so it works through a transaction pooler too.
    """
    # Each statement must see what was committed during the wait for the lock, whatever the default level is.
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{ADVISORY_LOCK_TIMEOUT_S}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    connection.execute(text(f"SET LOCAL lock_timeout = {FIRST_LOCK_TIMEOUT_MS}"))

    def steps(heads: Any, migration_context: Any) -> Iterable[Any]:
        planned = list(plan(heads, migration_context))
        if planned:
            lock_tables(connection, first)
        return planned

    context.configure(connection=connection, target_metadata=Base.metadata, fn=steps, include_object=is_migrated)
    context.run_migrations()


def lock_tables(connection: Connection, first: str) -> None:
    """Lock every table up front: later, nobody can make the migration wait for a lock.

    While the migration waits for the first table, it holds none, so it cannot deadlock with a writer. It
    waits for the others for less time than PostgreSQL takes to check for a deadlock. So if a migration and
    a writer wait for each other, the migration gives up, not the writer. Raises `TableInUse`.
    """
    tables = connection.execute(EXISTING_TABLES, {"tables": TABLES, "first": first}).all()
    for place, table in enumerate(tables):
        if place == 1:
            connection.execute(OTHER_LOCK_TIMEOUT, {"tables": len(tables)})
        try:
            connection.execute(text(f"LOCK TABLE {table.qualified}"))
        except OperationalError as error:
            if isinstance(error.orig, LockNotAvailable):
                raise TableInUse(table.relname) from error
            raise


def is_migrated(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
    """Tell whether the migrations own an object. The indexes for searches are not theirs."""
    return kind != "index" or name not in SEARCH_INDEXES


def is_upgrade_to_head() -> bool:
    """Tell whether the command is an upgrade and the schema is now the latest."""
    is_upgrade = context.config.cmd_opts is not None and context.config.cmd_opts.cmd[0] is command.upgrade
    return is_upgrade and list(context.get_context().get_current_heads()) == context.script.get_heads()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given, context.config.attributes["patience_s"])
else:
    with ExitStack() as stack:
        try:
            settings, _ = stack.enter_context(provided_database(load_settings()))
            own = stack.enter_context(create_engine(settings.require_database_url(), poolclass=NullPool).connect())
        except (ConfigurationError, EmbeddedPostgresError) as error:
            # Alembic prints a `CommandError` as one line, without a traceback.
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {str(error.orig).strip()}") from error
        migrate(own, settings.start_timeout_s)
        if is_upgrade_to_head():
            build_search_indexes(settings)
