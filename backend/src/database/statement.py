"""Statements, compiled once when they are defined, and planned once on each connection."""

import hashlib
from collections.abc import Iterable
from typing import Any

import psycopg2.extras
from sqlalchemy import ClauseElement, Select, literal_column
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType, TypeEngine

DIALECT = PGDialect_psycopg2()  # type: ignore[no-untyped-call]

# psycopg2 adapts the parameters, so it must know UUIDs.
psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]


# For a plan that holds whatever the parameters are. PostgreSQL would rather plan a page anew each time,
# because it guesses that a page is a tenth of the table where it does not know the limit. By the same
# guess it would compile the plan (jit), which takes longer than to run it. And a table that is empty when
# the plan is made need not stay so.
_FOR_ANY_PARAMETERS = (
    "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; "
)


class Statement:
    """A statement as psycopg2 takes it, `sql`, and the commands by which PostgreSQL keeps it with its plan.

    `prepare` has the server keep it under a name, `execute` runs what is kept, `deallocate` has it
    forgotten. To parse and plan a statement takes longer than to run it. The name is a hash of the
    text, so it means this statement and no other, whoever has prepared it on a connection.

    A statement that `reads_many` rows, by an index, gets a plan that holds for any parameters.

    SQLAlchemy's own execution, with its cache of compiled statements and its results, takes longer
    than the database does for one task.
    """

    def __init__(self, definition: ClauseElement, *, reads_many: bool = False) -> None:
        compiled = definition.compile(dialect=DIALECT)
        assert isinstance(compiled, SQLCompiler)
        types = {name: bound.type for name, bound in compiled.binds.items()}
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        names = [name for name in compiled.params if name not in constants]

        # psycopg2 takes a doubled percent sign for one where there are parameters. SQLAlchemy doubles each.
        template = str(compiled).replace("%%", "%%%%") % {
            **{name: compiled.render_literal_value(value, types[name]) for name, value in constants.items()},
            **{name: f"%({name})s" for name in names},
        }
        numbered = template % {name: f"${number}" for number, name in enumerate(names, start=1)}
        self.sql = template if names else numbered
        declared = _in_parentheses(_declared(types[name]) for name in names)
        digest = hashlib.sha256(f"{declared}{numbered}".encode()).hexdigest()
        self.name = f"task_backend_{digest[:32]}"
        self.prepare = f"PREPARE {self.name} {declared} AS {numbered.replace('%', '%%') if names else numbered}; "
        settings = _FOR_ANY_PARAMETERS if reads_many else ""
        self.execute = f"{settings}EXECUTE {self.name} {_in_parentheses(f'%({name})s' for name in names)}"
        self.deallocate = f"DEALLOCATE {self.name}; "


class LongStatement(Statement):
    """A SELECT without parameters of more rows, perhaps, than are held at once; `beginning` selects the first."""

    def __init__(self, definition: Select[Any], rows_at_a_time: int) -> None:
        super().__init__(definition)
        self.rows_at_a_time = rows_at_a_time
        self.beginning = Statement(definition.limit(literal_column(str(rows_at_a_time))))


def _declared(of: TypeEngine[Any]) -> str:
    """The name of a parameter's type; where it is not known, PostgreSQL infers it."""
    return "unknown" if isinstance(of, NullType) else str(of.compile(dialect=DIALECT))


def _in_parentheses(parts: Iterable[str]) -> str:
    listed = ", ".join(parts)
    return f"({listed})" if listed else ""
