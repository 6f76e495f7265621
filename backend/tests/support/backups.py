"""Backups as a test makes and reads them."""

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import URL

from config import BACKEND
from src.backups.backup import back_up
from src.backups.file import Label
from tests.support.databases import execute, settings_for

BACKUP: list[str | Path] = [sys.executable, BACKEND / "backup.py"]

TABLES = ("alembic_version", "tasks", "task_history", "counts", "counted", "late_entries", "task_count_changes")
# Every sequence, as a session sees it that has not used it.
_SEQUENCES = "SELECT sequencename::text, last_value FROM pg_sequences WHERE schemaname = current_schema() ORDER BY 1"
# A row, without what belongs to the server: the transaction that wrote it.
_ROW = r"""regexp_replace(row_to_json(t)::text, ',"transaction_id":(\d+|null)', '')"""


def contents_of(url: URL) -> dict[str, list[str]]:
    """Return the rows of every table, and the values of the sequences."""
    rows = {table: execute(url, f"SELECT {_ROW} FROM {table} AS t ORDER BY 1") for table in TABLES}
    return {name: list(map(str, found)) for name, found in {**rows, "sequences": execute(url, _SEQUENCES)}.items()}


def backup_of(url: URL, directory: Path) -> tuple[Path, Label]:
    """Write a backup of the database at `url` to a file in `directory`."""
    return back_up(settings_for(url), directory, None, None)


def run_backup(directory: Path, *arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `backup.py` in `directory`, as a person does."""
    return subprocess.run(
        [*BACKUP, *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
