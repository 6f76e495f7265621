"""Fills an empty database from a backup, in one transaction: with everything in it, or not at all."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

import psycopg2

from config import Settings
from src.database.faults import reason_of
from src.database.migrate import is_known_revision, prepare_schema
from src.database.search_indexes import INDEXES, build_search_indexes
from src.embedded_postgres.programs import reason_of as reason_in
from src.keeping.file import CHUNK_BYTES, Label, read_label
from src.keeping.place import KeepingError, Place, place_to_restore
from src.keeping.progress import Progress
from src.keeping.restore_sql import ANALYZE, MISCOUNTED, sql_after, sql_before

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
_SERVER_SAID = re.compile(r"^.*?\b(?:ERROR|FATAL): +")


class Restored(NamedTuple):
    """What a restore has put where. `kept` is where the data of another major version is now."""

    label: Label
    kept: Path | None


def restore(settings: Settings, path: Path) -> Restored:
    """Put the backup at `path` into DATABASE_URL's database or the embedded one, and check it.

    Raises `ConfigurationError`, `EmbeddedPostgresError`, `KeepingError` and `OSError`.
    """
    with path.open("rb") as file:
        with Progress("Reading") as progress:
            label = read_label(file, progress)
        if not is_known_revision(label.revision):
            raise KeepingError(
                f"{path} has schema revision {label.revision}, which is newer than this code; use the newer code."
            )
        with place_to_restore(settings) as place:
            file.seek(0)
            with Progress("Restoring") as progress:
                _fill(place, file, label, progress)
            # The restore is asked for, whatever AUTO_MIGRATE says.
            prepare_schema(place.settings.model_copy(update={"auto_migrate": True}))
            _check_counts(place)
            build_search_indexes(place.settings)
            return Restored(label, place.kept)


def _fill(place: Place, archive: IO[bytes], label: Label, progress: Progress) -> None:
    with (
        place.subprocess_options() as (connection_string, options),
        tempfile.NamedTemporaryFile("w", prefix="task-backend-", suffix=".list") as contents,
        tempfile.TemporaryFile() as said_by_restore,
        tempfile.TemporaryFile() as said_by_psql,
    ):
        # The account of the server reads it. It holds the names of tables.
        Path(contents.name).chmod(0o644)
        contents.write(_contents(place, archive))
        contents.flush()
        archive.seek(0)
        pg_restore: list[str | Path] = [
            place.programs / "pg_restore",
            *("--file=-", f"--use-list={contents.name}", "--no-owner", "--no-privileges", "--no-tablespaces"),
            *("--no-publications", "--no-subscriptions", "--no-security-labels", "--no-table-access-method"),
        ]
        psql: list[str | Path] = [
            place.programs / "psql",
            *("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"),
            f"--dbname={connection_string}",
        ]
        schema = _run([*pg_restore, "--section=pre-data"], place, archive)
        archive.seek(0)
        with (
            subprocess.Popen(
                [*pg_restore, "--section=data", "--section=post-data"],
                stdin=archive,
                stdout=subprocess.PIPE,
                stderr=said_by_restore,
                **place.options,
            ) as source,
            subprocess.Popen(
                psql, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said_by_psql, **options
            ) as target,
        ):
            try:
                before = sql_before(label).encode() + _REFUSED.sub(b"", schema)
                _pump(before, source, target, sql_after(label).encode(), progress)
            except BaseException:
                # Without a COMMIT, the server rolls everything back.
                source.kill()
                target.kill()
                raise
        if target.returncode != 0:
            raise KeepingError(f"{_sentence(said_by_psql)}; nothing was restored.")
        if source.returncode != 0:
            raise KeepingError(f"pg_restore failed: {_sentence(said_by_restore)}; nothing was restored.")


def _contents(place: Place, archive: IO[bytes]) -> str:
    """Return pg_restore's list of what is in the archive, without what stays out."""
    lines = _run([place.programs / "pg_restore", "--list"], place, archive).decode().splitlines(keepends=True)
    return "".join(line for line in lines if not _LEFT_OUT.match(line))


def _run(command: list[str | Path], place: Place, archive: IO[bytes]) -> bytes:
    """Return what pg_restore prints about the archive."""
    archive.seek(0)
    done = subprocess.run(command, stdin=archive, capture_output=True, check=False, **place.options)
    if done.returncode != 0:
        reason = reason_in(done.stderr.decode(errors="replace")).removeprefix("pg_restore: error: ")
        raise KeepingError(f"pg_restore cannot read the backup: {reason.rstrip('.')}.")
    output: bytes = done.stdout
    return output


def _pump(
    before: bytes,
    source: "subprocess.Popen[bytes]",
    target: "subprocess.Popen[bytes]",
    after: bytes,
    progress: Progress,
) -> None:
    """Send the SQL of the restore to psql: the end of it, with the COMMIT, only if pg_restore has ended well."""
    assert source.stdout is not None
    assert target.stdin is not None
    try:
        target.stdin.write(before)
        # The settings are at the beginning, before any data.
        chunk = _REFUSED.sub(b"", source.stdout.read(_SETTINGS_MAX_BYTES))
        while chunk:
            target.stdin.write(chunk)
            progress.add(len(chunk))
            chunk = source.stdout.read(CHUNK_BYTES)
        if source.wait() == 0:
            target.stdin.write(after)
        target.stdin.close()
    except BrokenPipeError:
        # psql has ended, and says why.
        source.kill()


def _sentence(output: IO[bytes]) -> str:
    output.seek(0)
    reason = reason_in(output.read().decode(errors="replace"))
    return _SERVER_SAID.sub("", reason).removeprefix("pg_restore: error: ").rstrip(".")


def _check_counts(place: Place) -> None:
    with place.connection() as connection, connection.cursor() as cursor:
        try:
            # Queries and the maintenance of the totals are slow until the planner knows the size of the tables.
            cursor.execute(ANALYZE)
            cursor.execute(MISCOUNTED)
            miscounted = [kind for [kind] in cursor.fetchall()]
        except psycopg2.Error as error:
            raise KeepingError(f"The data is restored, and cannot be checked: {reason_of(error)}.") from error
    if miscounted:
        raise KeepingError(
            f"The data is restored, but its totals differ from its rows ({', '.join(miscounted)}), as they did in the"
            " backup; as the owner, run: SELECT recount();"
        )
