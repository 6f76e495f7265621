"""Statements: compiled once, when they are defined, and planned once on each connection."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg2.extras
from sqlalchemy import ClauseElement, Select, literal_column
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType, TypeEngine

DIALECT = PGDialect_psycopg2()  # type: ignore[no-untyped-call]

# psycopg2 adapts the parameters, so it must know UUIDs.
psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]

# A prefix that forces one plan, by an index, for all parameters. Otherwise PostgreSQL plans each page again:
# without knowing the limit, it assumes a tenth of the table, finds the reusable plan too expensive, and turns
# on JIT, which takes longer than the query. Sequential scans are off because a plan made on an empty table
# would keep scanning it as it grows.
PLAN_FOR_ANY_PARAMETERS = (
    "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; "
)
# A prefix that has PostgreSQL plan a statement for the values of its parameters. Conditions whose parameter is null
# then cost nothing, and a rare word is found by an index.
PLAN_FOR_THESE_PARAMETERS = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off; "
# A prefix that fails on a replica, with the error that leads to another connection. A plain read would succeed on
# a server that has just become one, and miss what the new primary has committed. On the primary it takes no id.
REQUIRE_PRIMARY = "SELECT pg_current_xact_id() WHERE pg_is_in_recovery(); "

# How many rows of a long list are in memory at a time.
ROWS_AT_A_TIME = 500

# Every statement that has been defined; statements.sql shows them all.
STATEMENTS: list["Statement"] = []


class Statement:
    """One SQL statement, in the forms that psycopg2 and PostgreSQL take.

    - `sql` is its text, with psycopg2's placeholders for its `parameters`.
    - `prepare_sql` makes PostgreSQL keep it, with its plan, as `prepared_name`; parsing and planning take
      longer than running. The name ends in a hash of the text, so on any connection it means this
      statement, whoever prepared it. `deallocate_sql` drops it.
    - `execute_sql` runs what was prepared.
    - `prefix` is SQL that goes in front of the statement, in the same transaction.
    - Of those that `may_be_slow`, only some run at a time, so they leave connections for the others.

    `name` and `purpose` are for people: see statements.sql.

    This replaces SQLAlchemy's own execution, whose compiled cache and result objects take longer than
    the database does for one task. With a driver as fast below SQLAlchemy, delete it.
    """

    def __init__(
        self, name: str, purpose: str, definition: ClauseElement, *, prefix: str = "", may_be_slow: bool = False
    ) -> None:
        self.name, self.purpose, self.prefix, self.may_be_slow = name, purpose, prefix, may_be_slow
        compiled = definition.compile(dialect=DIALECT)
        assert isinstance(compiled, SQLCompiler)
        types = {parameter: bound.type for parameter, bound in compiled.binds.items()}
        constants = {
            parameter: compiled.render_literal_value(value, types[parameter])
            for parameter, value in compiled.params.items()
            if value is not None
        }
        self.parameters = parameters = [parameter for parameter in compiled.params if parameter not in constants]

        # psycopg2 reads a doubled percent sign as one if there are parameters. SQLAlchemy doubles each.
        template = str(compiled).replace("%%", "%%%%") % {
            **constants,
            **{parameter: f"%({parameter})s" for parameter in parameters},
        }
        numbered = template % {parameter: f"${number}" for number, parameter in enumerate(parameters, start=1)}
        self.sql = template if parameters else numbered
        declared = _in_parentheses(_declared(types[parameter]) for parameter in parameters)
        digest = hashlib.sha256(f"{declared}{numbered}".encode()).hexdigest()
        self.prepared_name = f"{name}_{digest[:16]}"
        text = numbered.replace("%", "%%") if parameters else numbered
        self.prepare_sql = f"PREPARE {self.prepared_name} {declared} AS {text}; "
        values = _in_parentheses(f"%({parameter})s" for parameter in parameters)
        self.execute_sql = f"{prefix}EXECUTE {self.prepared_name} {values}"
        self.deallocate_sql = f"DEALLOCATE {self.prepared_name}; "
        STATEMENTS.append(self)


class LongStatement(Statement):
    """A SELECT that may return more rows than memory should hold at once.

    `beginning` selects the first `ROWS_AT_A_TIME`.
    """

    def __init__(
        self, name: str, purpose: str, definition: Select[Any], *, prefix: str = "", may_be_slow: bool = False
    ) -> None:
        super().__init__(name, purpose, definition, prefix=prefix, may_be_slow=may_be_slow)
        first_rows = definition.limit(literal_column(str(ROWS_AT_A_TIME)))
        self.beginning = Statement(
            f"{name}_beginning", f"The first rows of {name}, usually all.", first_rows, prefix=prefix
        )


class Change(NamedTuple):
    """A statement that changes a task, and the one that answers if the change is in the log already.

    Both take the id of the change's history entry as `history_id`, and return whether it `is_logged`.
    """

    statement: Statement
    if_logged: Statement


def _declared(of: TypeEngine[Any]) -> str:
    """The name of a parameter's type. PostgreSQL infers an unknown one."""
    return "unknown" if isinstance(of, NullType) else str(of.compile(dialect=DIALECT))


def _in_parentheses(parts: Iterable[str]) -> str:
    listed = ", ".join(parts)
    return f"({listed})" if listed else ""
