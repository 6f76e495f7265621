"""Exports: every row that matches, in the order of its list, one line each."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Text, text
from sqlalchemy.sql.elements import KeyedColumnElement

from src.database.database import Database
from src.database.json_rows import wire_columns
from src.database.statement import PLAN_FOR_THESE_PARAMETERS, Statement
from src.models import Task, TaskHistory
from src.schemas.history import HistoryResponse
from src.services.history_page import NEWEST_FIRST
from src.services.history_search import ENTRY_CONDITION
from src.services.task_list import TASK_CONDITION

# All text below is made of constants, so no caller's input gets into it.
# ruff: noqa: S608


class ExportFormat(StrEnum):
    """The format of an export: CSV after RFC 4180, or JSON with an object in each line (https://jsonlines.org)."""

    CSV = "csv"
    NDJSON = "ndjson"


class Export(NamedTuple):
    """A statement that returns lines, with their ends, how many of them to have in memory, and the header."""

    statement: Statement
    lines_at_a_time: int
    header: str


# The first characters by which a spreadsheet takes a cell for a formula, also the full-width forms of East Asia
# (https://owasp.org/www-community/attacks/CSV_Injection). An apostrophe in front makes it a text.
_OF_FORMULAS = "'=', '+', '-', '@', chr(9), chr(10), chr(13), '＝', '＋', '－', '＠'"  # noqa: RUF001


def _exports(
    name: str, rows: str, columns: Iterable[KeyedColumnElement[Any]], lines_at_a_time: int
) -> dict[ExportFormat, Export]:
    columns = list(columns)
    item = f"(SELECT {wire_columns(columns)} FROM ({rows}) found) item"
    cells = ", ".join(map(_cell, columns))
    csv = f"SELECT concat(concat_ws(',', {cells}), chr(13), chr(10)) AS line FROM {item}"
    ndjson = f"SELECT concat(row_to_json(item), chr(10)) AS line FROM {item}"
    header = ",".join(column.name for column in columns)
    return {
        ExportFormat.CSV: Export(_statement(f"{name}_as_csv", csv), lines_at_a_time, f"{header}\r\n"),
        ExportFormat.NDJSON: Export(_statement(f"{name}_as_ndjson", ndjson), lines_at_a_time, ""),
    }


def _cell(column: KeyedColumnElement[Any]) -> str:
    name = column.name
    if not isinstance(column.type, Text):
        return f"coalesce(CAST({name} AS text), '')"
    harmless = f"CASE WHEN left({name}, 1) IN ({_OF_FORMULAS}) THEN '''' || {name} ELSE {name} END"
    return f"""coalesce('"' || replace({harmless}, '"', '""') || '"', '')"""


def _statement(name: str, sql: str) -> Statement:
    return Statement(
        name, f"{name.replace('_', ' ').capitalize()}, line by line.", text(sql), prefix=PLAN_FOR_THESE_PARAMETERS
    )


TASK_EXPORTS = _exports(
    "tasks",
    f"SELECT * FROM tasks WHERE {TASK_CONDITION} ORDER BY is_completed, created_at DESC, id",
    Task.__table__.c,
    # A line may have 30 kB.
    lines_at_a_time=100,
)
HISTORY_EXPORTS = _exports(
    "history",
    f"SELECT * FROM task_history WHERE {ENTRY_CONDITION} ORDER BY {NEWEST_FIRST}",
    [TaskHistory.__table__.c[name] for name in HistoryResponse.model_fields],
    lines_at_a_time=500,
)


async def exported(database: Database, export: Export, parameters: Mapping[str, Any]) -> AsyncGenerator[bytes]:
    """Yield the text of `export`, in UTF-8, some lines at a time; the header comes with the first.

    Close the generator, because it holds a connection. Raises as `Database.stream` does.
    """
    header = export.header
    async with aclosing(database.stream(export.statement, parameters, export.lines_at_a_time)) as batches:
        async for lines in batches:
            yield "".join([header, *lines]).encode()
            header = ""
    if header:
        yield header.encode()
