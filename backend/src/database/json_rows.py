"""Rows that PostgreSQL writes as JSON.

The database writes the JSON of a task or an entry once, exactly as its pydantic schema would (a test
compares the two byte for byte), and Python only puts the envelope around it.
"""

from typing import Any

from sqlalchemy import ColumnElement, DateTime, FromClause, Select, Text, cast, func, literal_column, select

from src.database.statement import DIALECT
from src.utils.timestamps import RFC3339_FORMAT

_UTC: ColumnElement[str] = literal_column("'UTC'")
_FORMAT: ColumnElement[str] = literal_column(f"'{RFC3339_FORMAT}'")


def json_rows(rows: FromClause) -> Select[Any]:
    """Return a SELECT of `json`: each of `rows` as a JSON object, with its times as RFC 3339."""
    item = select(*(_wire_form(column) for column in rows.c)).subquery("item")
    return select(cast(func.row_to_json(item.table_valued()), Text).label("json"))


def wire_columns(table: FromClause) -> str:
    """Return the columns of `table` as a SELECT list in SQL, with its times as RFC 3339."""
    compiled = select(*(_wire_form(literal_column(column.name, column.type)) for column in table.c)).compile(
        dialect=DIALECT
    )
    return str(compiled).removeprefix("SELECT ")


def _wire_form(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, DateTime):
        # Convert to UTC here: the server chooses the session's time zone.
        return func.to_char(func.timezone(_UTC, column), _FORMAT).label(column.key)
    return column
