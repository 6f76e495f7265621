"""The file of a backup: an archive of pg_dump, and a last line that says what is in it.

pg_restore reads such a file too. It looks at nothing behind the archive.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from src.backups.progress import Progress
from src.backups.target import BackupError

# The first bytes of an archive in pg_dump's custom format.
_MAGIC = b"PGDMP"
_LABEL_MAX_BYTES = 4096
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Label:
    """What a backup holds. `schema` is the schema of its tables, `revision` their Alembic revision."""

    postgresql: int
    schema: str
    revision: str
    tasks: int
    entries: int
    sha256: str = ""

    def line(self) -> bytes:
        """Return the last line of the file."""
        return b"\n" + json.dumps({"task_backup": asdict(self)}).encode() + b"\n"


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that gets its name `path` when the block has ended, and is on the disk then.

    Only its owner can read it. If the block raises, nothing is left. Raises `BackupError` if `path` exists.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        # Two backups to one path: the second fails here.
        file = open(unfinished, "xb", opener=_open_private)  # noqa: SIM115  # Closed below.
    except FileExistsError:
        raise BackupError(
            f"{unfinished} exists: another backup is writing it. If none is running, delete it."
        ) from None
    try:
        with file:
            if os.path.lexists(path):
                raise BackupError(f"{path} already exists; choose another name.")
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def read_label(file: IO[bytes], progress: Progress) -> Label:
    """Return the label of a backup. Raises `BackupError` if `file` is not a backup, or was changed."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BackupError(f"{file.name} is not a backup made by this service.")
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LABEL_MAX_BYTES))
    lines = file.read().rsplit(b"\n", 2)
    label = _parsed(lines[1]) if len(lines) == 3 and lines[2] == b"" else None
    if label is None:
        raise BackupError(f"{file.name} is not complete, or is a dump that `make backup` did not write.")
    file.seek(0)
    archive_size = size - len(lines[1]) - 2
    digest = hashlib.sha256()
    while file.tell() < archive_size:
        chunk = file.read(min(CHUNK_BYTES, archive_size - file.tell()))
        digest.update(chunk)
        progress.add(len(chunk))
    if digest.hexdigest() != label.sha256:
        raise BackupError(f"{file.name} is damaged: its checksum does not match.")
    return label


def _parsed(line: bytes) -> Label | None:
    try:
        label = Label(**json.loads(line)["task_backup"])
    except (ValueError, KeyError, TypeError):
        return None
    types: dict[str, Any] = Label.__annotations__
    return label if all(isinstance(value, types[name]) for name, value in asdict(label).items()) else None


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
