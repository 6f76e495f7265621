"""Runs migrations, for the command line and for `src.database.migrate`."""

from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, text

import src.models  # noqa: F401  # Registers the tables with the metadata.
from alembic import context
from config import ConfigurationError, load_settings
from src.database.base import Base
from src.database.embedded_programs import EmbeddedPostgresError
from src.database.provision import provided_database

# A migration that waited longer for a table would hold up every request behind it.
LOCK_TIMEOUT_S = 15
# Any number will do, as long as nothing else takes an advisory lock on it.
ADVISORY_LOCK = 20_261_120


def migrate(connection: Connection) -> None:
    """Migrate in one transaction: the schema changes as a whole or not at all.

    The advisory lock lets one of several processes that start at once do the work; the others then
    find it done. It ends with the transaction, so it holds through a transaction pooler too.
    """
    with connection.begin():
        # Each statement sees what was committed before it, and not only before the wait for the lock.
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        context.configure(connection=connection, target_metadata=Base.metadata)
        context.run_migrations()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    try:
        with (
            provided_database(load_settings()) as (settings, _),
            create_engine(settings.require_database_url(), poolclass=NullPool).connect() as own,
        ):
            migrate(own)
    except (ConfigurationError, EmbeddedPostgresError) as error:
        # Alembic prints this one in one line.
        raise CommandError(str(error)) from error
