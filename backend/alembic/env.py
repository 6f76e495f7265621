"""Runs migrations, for the command line and for `src.database.migrate`."""

from contextlib import ExitStack

from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

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
    with ExitStack() as stack:
        try:
            settings, _ = stack.enter_context(provided_database(load_settings()))
            own = stack.enter_context(create_engine(settings.require_database_url(), poolclass=NullPool).connect())
        except (ConfigurationError, EmbeddedPostgresError) as error:
            # Alembic prints this one in one line.
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {str(error.orig).strip()}") from error
        migrate(own)
