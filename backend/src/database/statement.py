"""Statements, compiled once when they are defined and not whenever they run."""

from collections.abc import Mapping
from typing import Any

import psycopg2.extras
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

DIALECT = PGDialect_psycopg2()  # type: ignore[no-untyped-call]

# psycopg2 adapts the parameters, so it must know UUIDs.
psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]


class Statement:
    """A statement as psycopg2 takes it: the text, and the values that SQLAlchemy has bound in it.

    SQLAlchemy's own execution, with its cache of compiled statements and its results, takes longer
    than the database does for one task.
    """

    def __init__(self, definition: ClauseElement) -> None:
        compiled = definition.compile(dialect=DIALECT)
        self.sql = str(compiled)
        self._bound = {name: value for name, value in compiled.params.items() if value is not None}

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all parameters, of which `given` are the caller's."""
        return self._bound | dict(given)
