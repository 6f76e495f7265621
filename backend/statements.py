"""Prints statements.sql: every statement that the service sends, formatted, under its name."""

import re

import pglast

import main  # noqa: F401  # Defines every statement.
from src.database.statement import STATEMENTS, Statement

HEADER = """\
-- Every statement that the service sends, by name. `make statements` writes this file.
--
-- Parameters are :name, as in psql. Each statement is sent in one message, with SET LOCAL statement_timeout
-- in front, as PREPARE (the first time on a connection) and EXECUTE. PostgreSQL runs one message as one
-- transaction, so there is no BEGIN or COMMIT, except for long lists.
--
"""


def formatted(statement: Statement) -> str:
    """Return the SQL of `statement` as PostgreSQL's own parser reads it, with its parameters as :name."""
    # The parser takes _name for a column, and the formatter keeps it as long as :name will be.
    parsable = re.sub(r"%\((\w+)\)s", r"_\1", statement.sql)
    sql = pglast.prettify(parsable, compact_lists_margin=100, comma_at_eoln=True)
    return re.sub(rf"\b_({'|'.join(statement.parameters)})\b", r":\1", sql) if statement.parameters else sql


def _section(statement: Statement) -> str:
    settings = "".join(f"{command};\n" for command in statement.prefix.split("; ") if command)
    return f"\n\n-- {statement.name}\n-- {statement.purpose}\n{settings}{formatted(statement)};\n"


def document() -> str:
    """Return the text of statements.sql."""
    statements = sorted(STATEMENTS, key=lambda statement: statement.name)
    contents = "".join(f"--   {statement.name}: {statement.purpose}\n" for statement in statements)
    return "".join([HEADER, contents, *map(_section, statements)])


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201  # It is the output.
