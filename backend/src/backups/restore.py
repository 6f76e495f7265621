"""Fills an empty database from a backup, in one transaction: with everything in it, or not at all."""

import logging
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, NamedTuple

import psycopg2

from config import Settings
from src.backups.file import CHUNK_BYTES, Label, read_label
from src.backups.progress import Progress
from src.backups.restore_sql import ANALYZE, MISCOUNTED, sql_after, sql_before
from src.backups.target import NO_TIMEOUTS, BackupError, Target, interruptible, old_data_moved_aside, target_to_restore
from src.database.faults import reason_of
from src.database.migrate import is_known_revision, prepare_schema
from src.database.search_indexes import INDEXES, build_search_indexes
from src.embedded_postgres.programs import reason_of as reason_in

log = logging.getLogger(__name__)

# Entries of an archive that stay out: the schema, which is there, and the indexes for searches, which need an
# extension that not every server has.
_LEFT_OUT = re.compile(rf"\d+; \d+ \d+ ((COMMENT - |ACL - )?SCHEMA|INDEX \S+ ({'|'.join(INDEXES)})) ")
# Lines of the archive's SQL that a server may refuse. pg_restore sets transaction_timeout, which PostgreSQL 15 and
# 16 do not know. PostgreSQL 15.20 notes a version of its own for each column, which an older pg_dump takes for an
# option of the column.
_REFUSED = re.compile(
    rb"^(SET transaction_timeout = 0|ALTER TABLE ONLY .+ ALTER COLUMN .+ SET \(pg_attver=\d+\));\n", re.MULTILINE
)
# The settings come first, and then the data.
_SETTINGS_MAX_BYTES = 1024
_SETTINGS = re.compile(rb"(^(SET \w+ = |SELECT pg_catalog\.set_config\().+;\n)+", re.MULTILINE)
_SERVER_SAID = re.compile(r"^.*?\b(?:ERROR|FATAL): +")


class Restored(NamedTuple):
    """What a restore has put where.

    `miscounted` are the kinds of changes whose totals were wrong in the backup. `kept` is where the data of another
    major version is now.
    """

    label: Label
    miscounted: list[str]
    kept: Path | None


def restore(settings: Settings, path: Path) -> Restored:
    """Put the backup at `path` into DATABASE_URL's database or the embedded one, and check it.

    Raises `ConfigurationError`, `EmbeddedPostgresError`, `BackupError` and `OSError`.
    """
    with path.open("rb") as file:
        with Progress("Reading") as progress:
            label = read_label(file, progress)
        if not is_known_revision(label.revision):
            raise BackupError(
                f"{path} has schema revision {label.revision}, which is newer than this code; use the newer code."
            )
        with old_data_moved_aside(settings) as kept, ExitStack() as stack:
            target = stack.enter_context(target_to_restore(settings))
            file.seek(0)
            with Progress("Restoring") as progress:
                _fill(target, file, label, progress)
            # The restore is asked for, whatever AUTO_MIGRATE says.
            prepare_schema(target.settings.model_copy(update={"auto_migrate": True}))
            server = stack.pop_all()
        # The new data stays, whatever ends the rest.
        with server:
            print(  # noqa: T201  # It is the output.
                "The data is restored. Checking its totals and building the indexes for searches", file=sys.stderr
            )
            miscounted = _corrected_totals(target)
            _build_search_indexes(target.settings)
            return Restored(label, miscounted, kept)


def _fill(target: Target, archive: IO[bytes], label: Label, progress: Progress) -> None:
    with (
        target.subprocess_options() as (connection_string, options),
        tempfile.NamedTemporaryFile("w", prefix="task-backend-", suffix=".list") as contents,
        tempfile.TemporaryFile() as said_by_restore,
        tempfile.TemporaryFile() as said_by_psql,
    ):
        # The account of the server reads it. It holds the names of tables.
        Path(contents.name).chmod(0o644)
        contents.write(_contents(target, archive))
        contents.flush()
        archive.seek(0)
        pg_restore: list[str | Path] = [
            target.programs / "pg_restore",
            *("--file=-", f"--use-list={contents.name}", "--no-owner", "--no-privileges", "--no-tablespaces"),
            *("--no-publications", "--no-subscriptions", "--no-security-labels", "--no-table-access-method"),
        ]
        psql: list[str | Path] = [
            target.programs / "psql",
            *("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"),
            f"--dbname={connection_string}",
        ]
        schema = _run([*pg_restore, "--section=pre-data"], target, archive)
        archive.seek(0)
        with (
            subprocess.Popen(
                [*pg_restore, "--section=data", "--section=post-data"],
                stdin=archive,
                stdout=subprocess.PIPE,
                stderr=said_by_restore,
                **target.options,
            ) as source,
            subprocess.Popen(
                psql, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said_by_psql, **options
            ) as session,
        ):
            try:
                before = sql_before(label).encode() + _adapted(schema)
                _pump(before, source, session, sql_after(label).encode(), progress)
            except BaseException:
                # Without a COMMIT, the server rolls everything back.
                source.kill()
                session.kill()
                raise
        if session.returncode != 0:
            raise BackupError(f"{_sentence(said_by_psql)}; nothing was restored.")
        if source.returncode != 0:
            raise BackupError(f"pg_restore failed: {_sentence(said_by_restore)}; nothing was restored.")


def _contents(target: Target, archive: IO[bytes]) -> str:
    """Return pg_restore's list of what is in the archive, without what stays out."""
    lines = _run([target.programs / "pg_restore", "--list"], target, archive).decode().splitlines(keepends=True)
    return "".join(line for line in lines if not _LEFT_OUT.match(line))


def _run(command: list[str | Path], target: Target, archive: IO[bytes]) -> bytes:
    """Return what pg_restore prints about the archive."""
    archive.seek(0)
    done = subprocess.run(command, stdin=archive, capture_output=True, check=False, **target.options)
    if done.returncode != 0:
        reason = reason_in(done.stderr.decode(errors="replace")).removeprefix("pg_restore: error: ")
        raise BackupError(f"pg_restore cannot read the backup: {reason.rstrip('.')}.")
    output: bytes = done.stdout
    return output


def _pump(
    before: bytes,
    source: "subprocess.Popen[bytes]",
    session: "subprocess.Popen[bytes]",
    after: bytes,
    progress: Progress,
) -> None:
    """Send the SQL of the restore to psql: the end of it, with the COMMIT, only if pg_restore has ended well."""
    assert source.stdout is not None
    assert session.stdin is not None
    try:
        session.stdin.write(before)
        # The settings are at the beginning, before any data.
        chunk = _adapted(source.stdout.read(_SETTINGS_MAX_BYTES))
        while chunk:
            session.stdin.write(chunk)
            progress.add(len(chunk))
            chunk = source.stdout.read(CHUNK_BYTES)
        if source.wait() == 0:
            session.stdin.write(after)
        session.stdin.close()
    except BrokenPipeError:
        # psql has ended, and says why.
        source.kill()
        # What it did not take is still in the buffer.
        with suppress(BrokenPipeError):
            session.stdin.close()


def _adapted(sql: bytes) -> bytes:
    """Return pg_restore's SQL without what a server may refuse, and with its settings limited to the transaction.

    A pooler in transaction mode would hand the settings of the session on to its next client: an empty search_path.
    """
    return _SETTINGS.sub(
        lambda settings: settings[0].replace(b"SET ", b"SET LOCAL ").replace(b", false);", b", true);"),
        _REFUSED.sub(b"", sql),
        count=1,
    )


def _sentence(output: IO[bytes]) -> str:
    output.seek(0)
    reason = reason_in(output.read().decode(errors="replace"))
    return _SERVER_SAID.sub("", reason).removeprefix("pg_restore: error: ").rstrip(".")


def _corrected_totals(target: Target) -> list[str]:
    """Compare the totals with the rows, and return the kinds that differed. If any did, all are counted again."""
    with target.connection() as connection, connection.cursor() as cursor:
        try:
            # Queries and the maintenance of the totals are slow until the planner knows the size of the tables.
            cursor.execute(ANALYZE)
            cursor.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            cursor.execute(NO_TIMEOUTS)
            cursor.execute(MISCOUNTED)
            miscounted = [kind for [kind] in cursor.fetchall()]
            if miscounted:
                cursor.execute("SELECT recount()")
            cursor.execute("COMMIT")
        except psycopg2.Error as error:
            raise BackupError(f"The data is restored, and cannot be checked: {reason_of(error)}.") from error
    return miscounted


def _build_search_indexes(settings: Settings) -> None:
    """Build the indexes, until a Ctrl-C: the service builds them at its next start."""
    try:
        with interruptible():
            build_search_indexes(settings)
    except KeyboardInterrupt:
        log.warning("The indexes for searches were not built: interrupted")
