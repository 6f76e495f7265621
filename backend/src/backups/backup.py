"""Writes a backup, while the service goes on working."""

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psycopg2
from psycopg2.errors import UndefinedTable

from config import Settings
from src.backups.file import CHUNK_BYTES, Label, new_file
from src.backups.progress import Progress
from src.backups.target import NO_TIMEOUTS, BackupError, Target, target_to_back_up
from src.database.faults import reason_of
from src.embedded_postgres.programs import reason_of as reason_in

# No migration can come between the snapshot and pg_dump's own locks.
_LOCK = "LOCK TABLE alembic_version, tasks, task_history IN ACCESS SHARE MODE"
_CONTENTS = """
    SELECT current_setting('server_version_num')::int / 10000 AS postgresql, current_schema() AS schema,
        (SELECT version_num FROM alembic_version) AS revision,
        (SELECT count(*) FROM tasks) AS tasks, (SELECT count(*) FROM task_history) AS entries
"""


def back_up(settings: Settings, directory: Path, file: Path | None, programs: Path | None) -> tuple[Path, Label]:
    """Write a backup to `file`, or to a new file in `directory`. Return its path and its label.

    `programs` is for data of another major version; `target_to_back_up` says how. Raises `ConfigurationError`,
    `EmbeddedPostgresError`, `BackupError` and `OSError`.
    """
    with target_to_back_up(settings, programs) as target, _snapshot(target) as (snapshot, contents):
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"task-backup-{stamp}-postgresql-{contents.postgresql}-schema-{contents.revision}.dump"
        path = file or directory / name
        with new_file(path) as archive, Progress("Backing up") as progress:
            digest = _dump(target, snapshot, contents.schema, archive, progress)
            label = replace(contents, sha256=digest)
            archive.write(label.line())
    return path, label


@contextmanager
def _snapshot(target: Target) -> Iterator[tuple[str, Label]]:
    """Yield the name of a snapshot, which lives as long as the block, and a label of what is in it."""
    with target.connection() as connection, connection.cursor() as cursor:
        try:
            _refuse_pooler(cursor)
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(_LOCK)
            # After the lock: a query takes the snapshot.
            cursor.execute(NO_TIMEOUTS)
            cursor.execute("SELECT pg_export_snapshot()")
            [[snapshot]] = cursor.fetchall()
            cursor.execute(_CONTENTS)
            [contents] = cursor.fetchall()
        except UndefinedTable as error:
            raise BackupError(f"The database does not have the tables of this service: {reason_of(error)}.") from error
        except psycopg2.Error as error:
            raise BackupError(f"The database cannot be backed up: {reason_of(error)}.") from error
        yield snapshot, Label(*contents)


def _refuse_pooler(cursor: Any) -> None:
    """Raise `BackupError` behind a pooler: the settings of pg_dump would stay on its connections, for the service."""
    cursor.execute("SELECT pg_backend_pid()")
    # A pooler tells its clients a number of its own.
    if cursor.fetchone() != (cursor.connection.info.backend_pid,):
        raise BackupError("DATABASE_URL leads to a connection pooler; give the address of PostgreSQL itself.")


def _dump(target: Target, snapshot: str, schema: str, archive: IO[bytes], progress: Progress) -> str:
    """Write an archive of pg_dump, and return its SHA-256."""
    digest = hashlib.sha256()
    with target.subprocess_options() as (connection_string, options), tempfile.TemporaryFile() as errors:
        command: list[str | Path] = [
            target.programs / "pg_dump",
            *("--format=custom", "--no-password", f"--snapshot={snapshot}", f"--dbname={connection_string}"),
            f"--schema={_quoted_pattern(schema)}",
        ]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, **options
        ) as dump:
            assert dump.stdout is not None
            try:
                while chunk := dump.stdout.read(CHUNK_BYTES):
                    archive.write(chunk)
                    digest.update(chunk)
                    progress.add(len(chunk))
            except BaseException:
                dump.kill()
                raise
        if dump.returncode != 0:
            errors.seek(0)
            raise BackupError(f"pg_dump failed: {_explained(errors.read().decode(errors='replace'))}.")
    return digest.hexdigest()


def _quoted_pattern(schema: str) -> str:
    """Return the pattern for pg_dump that matches only `schema`."""
    return '"' + schema.replace('"', '""') + '"'


def _explained(output: str) -> str:
    if "server version mismatch" in output:
        return "the database is a newer PostgreSQL than the programs of this service; use that PostgreSQL's own pg_dump"
    return reason_in(output).removeprefix("pg_dump: error: ").rstrip(".")
