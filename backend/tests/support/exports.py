"""Exports, `format=csv` and `format=ndjson`, read back and checked."""

import csv
import io
import json
from typing import Any

import httpx

from tests.support.client import Json
from tests.support.databases import AS_REPLICA, Sql

# What a spreadsheet takes for the beginning of a formula, in ASCII and in full width
# (https://owasp.org/www-community/attacks/CSV_Injection).
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}

COLUMNS = {
    "tasks": ["id", "title", "description", "is_completed", "created_at", "updated_at", "completed_at"],
    "history": ["history_id", "task_id", "action_type", "description", "timestamp", "task_title"],
}


# More than the buffers of a connection hold, so the service cannot have sent all of it to a caller who does not read.
LONG_MB = 24

IN_TRANSACTION = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND xact_start IS NOT NULL AND backend_type = 'client backend'"
)


def fill(sql: Sql, megabytes: int = LONG_MB) -> None:
    """Insert long tasks, half of them complete, and long entries, of as many megabytes each."""
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Task', repeat('x', 4000), number % 2 = 0, at, at,"
        " CASE number % 2 WHEN 0 THEN at END FROM generate_series(1, :number) AS number,"
        " LATERAL (SELECT timestamptz '2026-11-20 12:00Z' + number * interval '1 minute' AS at) AS moment",
        number=megabytes * 256,
    )
    sql(
        f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), gen_random_uuid(), 'CREATED',"
        " repeat('x', 4000), timestamptz '2026-11-20 12:00Z' + number * interval '1 minute'"
        " FROM generate_series(1, :number) AS number",
        number=megabytes * 256,
    )


def export(api: httpx.Client, path: str, file_format: str, **parameters: Any) -> str:
    """Return the text of an export, after a check of its headers."""
    response = api.get(path, params={"format": file_format, **parameters})
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == MEDIA_TYPES[file_format]
    name = f"{path.rpartition('/')[2]}.{file_format}"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    return response.content.decode()


def items_of_ndjson(text: str) -> list[Json]:
    """Return the objects of an export as NDJSON. Each line ends in a line feed, the last one included."""
    *lines, rest = text.split("\n")
    assert rest == ""
    return [json.loads(line) for line in lines]


def rows_of_csv(text: str) -> list[list[str]]:
    """Return the rows of an export as CSV, the header first."""
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def rows_for(name: str, items: list[Json]) -> list[list[str]]:
    """Return the rows that the CSV of `items` must have; `name` is tasks or history."""
    assert all(list(item) == COLUMNS[name] for item in items)
    return [COLUMNS[name], *([_cell(value) for value in item.values()] for item in items)]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str("" if value is None else value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
