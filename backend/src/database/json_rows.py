"""Rows that PostgreSQL writes as JSON.

The database writes the JSON of a task or an entry once, exactly as its pydantic schema would (a test
compares the two byte for byte), and Python only puts the envelope around it.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, DateTime, FromClause, Select, Text, cast, func, literal_column, select
from sqlalchemy.sql.elements import KeyedColumnElement

from src.database.statement import DIALECT
from src.utils.timestamps import RFC3339_FORMAT

_UTC: ColumnElement[str] = literal_column("'UTC'")
_FORMAT: ColumnElement[str] = literal_column(f"'{RFC3339_FORMAT}'")


def json_rows(rows: FromClause, *names: str) -> Select[Any]:
    """Return a SELECT of `json`: each of `rows` as a JSON object, with its times as RFC 3339.

    It also selects the members of these `names`, each as a column.
    """
    item = select(*map(_member, rows.c)).subquery("item")
    json = cast(func.row_to_json(item.table_valued()), Text).label("json")
    return select(json, *(item.c[name] for name in names))


def wire_columns(columns: Iterable[KeyedColumnElement[Any]]) -> str:
    """Return `columns` of a table as a SELECT list in SQL, with their times as RFC 3339."""
    members = (_member(literal_column(column.name, column.type)) for column in columns)
    compiled = select(*members).compile(dialect=DIALECT)
    return str(compiled).removeprefix("SELECT ")


def wire_form(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the value of `column` as callers see it: a time as RFC 3339, anything else as it is."""
    if isinstance(column.type, DateTime):
        # Convert to UTC here: the server chooses the session's time zone.
        return func.to_char(func.timezone(_UTC, column), _FORMAT)
    return column


def _member(column: ColumnElement[Any]) -> ColumnElement[Any]:
    value = wire_form(column)
    return column if value is column else value.label(column.key)
