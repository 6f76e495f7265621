"""The database that a process works on: the configured one, or the embedded one."""

from collections.abc import Iterator
from contextlib import contextmanager

from config import BACKEND, ConfigurationError, Settings
from src.embedded_postgres.data_directory import default_data_dir
from src.embedded_postgres.server import EmbeddedPostgres

# Connections on top of those of the pools: a person's psql, a backup, a migration, those that were closed
# a moment ago, and PostgreSQL's own superuser_reserved_connections.
_OTHER_CONNECTIONS = 20

_POSTGRESQL_DEFAULT_CONNECTIONS = 100


@contextmanager
def provided_database(settings: Settings) -> Iterator[tuple[Settings, str]]:
    """Yield `settings` with a DATABASE_URL, and a line that says where the data is.

    Without a DATABASE_URL the embedded PostgreSQL runs until the block is left. Raises
    `ConfigurationError` and `EmbeddedPostgresError`, each with one sentence for the operator.
    """
    if settings.database_url is not None:
        yield settings, settings.database_url.render_as_string(hide_password=True)
        return
    if settings.database_read_url is not None:
        raise ConfigurationError("DATABASE_READ_URL is set, and DATABASE_URL, whose replica it should be, is not.")
    data_dir = settings.data_dir or default_data_dir(BACKEND.parent)
    with EmbeddedPostgres(data_dir, {"max_connections": str(_max_connections(settings))}) as postgres:
        url = {"database_url": postgres.url}
        yield settings.model_copy(update=url), f"{postgres.data_dir} (look inside: {postgres.psql_command})"


def _max_connections(settings: Settings) -> int:
    """Return enough connections for every pool of the service, and for people too."""
    wanted = settings.workers * settings.database_pool_size + _OTHER_CONNECTIONS
    return max(wanted, _POSTGRESQL_DEFAULT_CONNECTIONS)
