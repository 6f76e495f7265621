"""Rows that PostgreSQL writes as JSON.

The JSON of a response is made once, where the data is: PostgreSQL writes each row as its pydantic
schema would (a test compares them byte for byte), and Python only puts the envelope around it.
"""

from typing import Any

from sqlalchemy import ColumnElement, DateTime, FromClause, Select, Text, cast, func, literal_column, select

from src.utils.timestamps import RFC3339_FORMAT

_UTC: ColumnElement[str] = literal_column("'UTC'")
_FORMAT: ColumnElement[str] = literal_column(f"'{RFC3339_FORMAT}'")


def json_rows(rows: FromClause, *position: str) -> Select[Any]:
    """Return a SELECT of `json`: each of `rows` as a JSON object, with times as RFC 3339.

    Where the columns are named that `rows` are ordered by, it has a second column: the row's `position`.
    """
    item = select(*(_wire_form(column) for column in rows.c)).subquery("item")
    json = select(cast(func.row_to_json(item.table_valued()), Text).label("json"))
    if not position:
        return json
    return json.add_columns(func.concat_ws(" ", *(item.c[name] for name in position)).label("position"))


def _wire_form(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, DateTime):
        # The session's time zone is the server's choice, so it must not matter.
        return func.to_char(func.timezone(_UTC, column), _FORMAT).label(column.key)
    return column
