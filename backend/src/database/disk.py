"""The check of the disk of the database, for the readiness probe."""

import psycopg2
from sqlalchemy import text

from src.database.database import Database
from src.database.faults import reason_of
from src.database.statement import Statement
from src.exceptions.errors import DatabaseUnavailable, DiskFull
from src.utils.full_disk import is_marked_full

# The rows do not fit in work_mem, so they go to a temporary file of more than 1 MiB. That needs no privilege, writes
# no WAL, and works behind a pooler.
_TAKE_ROOM = Statement(
    "take_room",
    "Takes room on the disk for a moment, once a statement has found it full.",
    text("SELECT count(*) AS rows FROM generate_series(1, 100000) AS number"),
    prefix="SET LOCAL work_mem = 64; ",
)


async def require_room(database: Database) -> None:
    """Raise `DiskFull` if a statement has found the disk full, and nothing has shown since that there is room.

    Only then does this ask the database: it takes room on the disk, and gives it back. A server that stopped
    because its disk was full does not answer, and counts as full too. So does an embedded one that cannot start.
    """
    is_stopped = database.socket_dir is not None and is_marked_full(database.socket_dir)
    if not database.disk_is_full and not is_stopped:
        return
    try:
        await database.run(_TAKE_ROOM, repeat_budget_s=0)
    except DatabaseUnavailable as error:
        raise DiskFull from error
    except psycopg2.Error as error:
        database.warnings.warn(f"The room on the disk of the database is unknown: {reason_of(error)}")
    database.disk_is_full = False
