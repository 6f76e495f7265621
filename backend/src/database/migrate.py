"""Bringing the schema up to date at start, or refusing to start on one that is not."""

import logging

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from alembic import command
from config import BACKEND, ConfigurationError, Settings

log = logging.getLogger(__name__)


def prepare_schema(settings: Settings) -> None:
    """Make sure that the database has the schema of this code.

    With AUTO_MIGRATE an outdated schema is migrated; of several processes that start at once, one
    does it. Raises `ConfigurationError` when the database cannot be used, when its schema is
    outdated and AUTO_MIGRATE is off, and when its schema is newer than this code.
    """
    engine = create_engine(
        settings.require_database_url(),
        poolclass=NullPool,
        connect_args={"connect_timeout": settings.connect_timeout_s},
    )
    try:
        with engine.connect() as connection:
            _prepare(connection, settings.auto_migrate)
    except DBAPIError as error:
        # libpq's first line names the host and the reason, and never the password.
        reason = str(error.orig).strip().splitlines()[0]
        raise ConfigurationError(f"The database cannot be used: {reason}.") from error


def _prepare(connection: Connection, auto_migrate: bool) -> None:
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise ConfigurationError(f"The database must have the encoding UTF8, to hold any text; it has {encoding}.")
    config = Config(BACKEND / "alembic.ini")
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    head = scripts.get_current_head()
    if current == head:
        return
    if current not in (None, *(script.revision for script in scripts.walk_revisions())):
        raise ConfigurationError(
            f"The database has schema revision {current}, which is newer than this code; run the newer code."
        )
    if not auto_migrate:
        raise ConfigurationError(
            "The database schema is outdated and AUTO_MIGRATE is off; run `cd backend && alembic upgrade head`."
        )
    log.info("Migrating the schema from revision %s to %s", current, head)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
