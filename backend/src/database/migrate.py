"""The check of the schema, at start and for the readiness probe, and its migration at start."""

import logging
import time
from functools import cache

import psycopg2
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from alembic import command
from config import BACKEND, ConfigurationError, Settings
from src.database.database import Database
from src.database.faults import is_transient, reason_of
from src.database.guards import OFF_AND_MISSING, what_fails
from src.database.statement import Statement
from src.exceptions.errors import SchemaOutdated

log = logging.getLogger(__name__)

_STATE = Statement(
    "schema_state",
    "Returns the revision of the schema, and the guards that are off or missing.",
    text(f"SELECT version_num, guards.* FROM alembic_version, ({OFF_AND_MISSING}) AS guards"),  # noqa: S608
)
# Any number will do, as long as nothing else takes an advisory lock on it.
ADVISORY_LOCK = 20_261_120
_PAUSE_S = 0.5
_REPORT_INTERVAL_S = 5.0


def prepare_schema(settings: Settings) -> None:
    """Make sure that the database has the schema of this code.

    With AUTO_MIGRATE, an outdated schema is migrated; if several processes start at once, one of them
    migrates. A database that is not up yet, or tables in use, delay the start by up to `start_timeout_s`.
    Raises `ConfigurationError` when the database cannot be used, when its schema is outdated and
    AUTO_MIGRATE is off, when its schema is newer than this code, and when a guard is off.
    """
    engine = engine_for(settings)
    deadline = time.monotonic() + settings.start_timeout_s
    next_report = 0.0
    while True:
        try:
            with engine.connect() as connection:
                return _prepare(connection, settings)
        except DBAPIError as error:
            reason = _reason(error)
            if (
                not isinstance(error.orig, psycopg2.Error)
                or not is_transient(error.orig)
                or time.monotonic() > deadline
            ):
                raise ConfigurationError(f"The database cannot be used: {reason}.") from error
        if time.monotonic() >= next_report:
            log.warning("Waiting for the database: %s", reason)
            next_report = time.monotonic() + _REPORT_INTERVAL_S
        time.sleep(_PAUSE_S)


def check_replica(settings: Settings) -> None:
    """Log a warning if the replica of DATABASE_READ_URL cannot be used. Changes work without it."""
    if settings.database_read_url is None:
        return
    try:
        with engine_for(settings, settings.database_read_url).connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        log.warning("The replica of DATABASE_READ_URL cannot be used: %s", _reason(error))
    else:
        if current != _head():
            log.warning("The replica of DATABASE_READ_URL has schema revision %s, not %s", current, _head())


async def require_current_schema(database: Database) -> None:
    """Raise `SchemaOutdated` for another revision or a guard that is off, `DatabaseUnavailable` if there is no answer.

    No retries: a probe asks about now.
    """
    try:
        rows = await database.run(_STATE, repeat_budget_s=0)
    except psycopg2.Error as error:
        database.warnings.warn(f"The schema of the database is unknown: {reason_of(error)}")
        raise SchemaOutdated from error
    found = ", ".join(row.version_num for row in rows) or "none"
    if found != _head():
        database.warnings.warn(f"The database has schema revision {found}, not {_head()}")
        raise SchemaOutdated
    [state] = rows
    if fault := what_fails(state.switched_off, state.missing):
        database.warnings.warn(fault)
        raise SchemaOutdated


def engine_for(settings: Settings, url: URL | None = None) -> Engine:
    """Return an engine without a pool, for `url` or the DATABASE_URL. Its connections block their thread."""
    return create_engine(
        url or settings.require_database_url(),
        poolclass=NullPool,
        connect_args={"connect_timeout": settings.connect_timeout_s},
    )


def _reason(error: DBAPIError) -> str:
    """Return libpq's first line, which names the host and the reason but never the password."""
    return str(error.orig).strip().splitlines()[0]


@cache
def _head() -> str | None:
    return _scripts().get_current_head()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(BACKEND / "alembic.ini"))


def _prepare(connection: Connection, settings: Settings) -> None:
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise ConfigurationError(f"The database must have the encoding UTF8, to hold any text; it has {encoding}.")
    current = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    if current != _head():
        _migrate(connection, current, settings)
    guards = connection.execute(text(OFF_AND_MISSING)).one()
    if fault := what_fails(guards.switched_off, guards.missing):
        raise ConfigurationError(fault)


def is_known_revision(revision: str) -> bool:
    """Tell whether this code can migrate a schema from `revision`."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def _migrate(connection: Connection, current: str | None, settings: Settings) -> None:
    if current is not None and not is_known_revision(current):
        raise ConfigurationError(
            f"The database has schema revision {current}, which is newer than this code; run the newer code."
        )
    if not settings.auto_migrate:
        raise ConfigurationError(
            "The database schema is outdated and AUTO_MIGRATE is off; set it to true for one start,"
            " or run `cd backend && ../.venv/bin/alembic upgrade head`."
        )
    log.info("Migrating the schema from revision %s to %s", current, _head())
    config = Config(BACKEND / "alembic.ini")
    config.attributes |= {"connection": connection, "patience_s": settings.start_timeout_s}
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(str(error)) from error
