"""What a failure means: repeat the statement, give up, or blame the code.

SQLSTATEs are PostgreSQL's: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import psycopg2
from psycopg2.errors import DiskFull

# Soon over, so a repeat may succeed: a connection that fails or is lost (08), too many connections, a
# server that stops or starts, a serialization failure, a deadlock, a write that reached a replica.
_TRANSIENT = ("08", "53300", "57P01", "57P02", "57P03", "57P05", "40001", "40P01", "25006")

# The server lacked resources (53), an operator or the statement timeout cancelled the statement (57), or
# a lock was not granted in time. A repeat would make things worse.
_UNAVAILABLE = ("53", "57", "55P03")

# A table, a column, a function or a schema is missing, or a table is of another kind.
_SCHEMA_OUTDATED = ("42P01", "42703", "42883", "3F000", "42809")


def reason_of(error: Exception) -> str:
    """Return the first line of what PostgreSQL, libpq or this service says of a failure, for the log.

    It holds no value of a row and no password. Values are in later lines, such as DETAIL and CONTEXT, and in
    the primary messages of other SQLSTATEs than those above, such as 22P02. The primary messages of those
    above name at most a relation, a file or a role, and libpq's first line a host, a port, a user and a
    database.
    """
    said = (isinstance(error, psycopg2.Error) and error.diag.message_primary) or str(error)
    return said.strip().partition("\n")[0] or type(error).__name__


def is_transient(error: psycopg2.Error) -> bool:
    """Tell whether the statement that failed is worth repeating."""
    if error.pgcode is None:
        # libpq gives no SQLSTATE when it cannot connect or loses the connection.
        return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return error.pgcode.startswith(_TRANSIENT)


def is_unavailable(error: psycopg2.Error) -> bool:
    """Tell whether the database, and not the statement, is at fault."""
    return is_transient(error) or (error.pgcode or "").startswith(_UNAVAILABLE)


def is_disk_full(error: Exception) -> bool:
    """Tell whether the server found no room on its disk."""
    return isinstance(error, DiskFull)


def is_schema_outdated(error: psycopg2.Error) -> bool:
    """Tell whether the database lacks the schema that the statement needs."""
    return error.pgcode in _SCHEMA_OUTDATED
