"""The entries that listeners have not been told of."""

from typing import NamedTuple

from sqlalchemy import text

from src.database.database import Database
from src.database.json_rows import wire_columns
from src.database.statement import PLAN_FOR_ANY_PARAMETERS, REQUIRE_PRIMARY, Statement
from src.models import TaskHistory
from src.schemas.history import HistoryResponse
from src.services.event_positions import EventPosition

# A caller that has missed more reads everything again.
MOST_MISSED = 1000

# A timeline begins when a replica is promoted. A restore makes a new table or a new cluster, and a migration back and
# forth a new column. Afterwards, an id may stand for another transaction, or be lost.
_HISTORY = """
    left(encode(sha256(convert_to(concat_ws(' ',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        (
            SELECT concat_ws(' ', attrelid, attnum) FROM pg_attribute
            WHERE attrelid = to_regclass('task_history') AND attname = 'transaction_id'
        )
    ), 'UTF8')), 'hex'), 16)
"""
_WIRE = wire_columns(TaskHistory.__table__.c[name] for name in HistoryResponse.model_fields)

NEW_ENTRIES = Statement(
    "new_entries",
    "Returns the present position, and the entries of transaction `since` and later ones, and of `others`.",
    text(f"""
        WITH taken AS MATERIALIZED (
            SELECT pg_current_snapshot() AS snapshot
        ), present AS MATERIALIZED (
            SELECT
                history_id AS last_entry,
                coalesce(transaction_id + 1, 0) AS next_transaction,
                ARRAY(
                    SELECT in_progress
                    FROM pg_snapshot_xip(snapshot) it, CAST(CAST(it AS text) AS bigint) in_progress
                    WHERE in_progress <= transaction_id
                ) AS in_progress
            FROM taken LEFT JOIN LATERAL (
                SELECT history_id, transaction_id FROM task_history
                WHERE transaction_id < CAST(CAST(pg_snapshot_xmax(snapshot) AS text) AS bigint)
                ORDER BY transaction_id DESC LIMIT 1
            ) latest ON true
        ), entries AS (
            (
                SELECT * FROM task_history
                WHERE transaction_id >= CAST(:since AS bigint)
                    AND transaction_id < (SELECT next_transaction FROM present)
                ORDER BY transaction_id DESC LIMIT {MOST_MISSED + 1}
            )
            UNION ALL
            (
                SELECT * FROM task_history
                WHERE transaction_id = ANY (ARRAY(
                    -- The entries of those that are still in progress would be read in vain.
                    SELECT unnest(CAST(:others AS bigint[])) EXCEPT SELECT unnest(in_progress) FROM present
                )) LIMIT {MOST_MISSED + 1}
            )
        )
        SELECT {_HISTORY} AS history, present.*, EXISTS (
                SELECT FROM task_history
                WHERE history_id = CAST(:last_entry AS uuid) AND transaction_id = CAST(:since AS bigint) - 1
            ) AS has_last_entry, transaction_id,
            CAST((SELECT row_to_json(item) FROM (SELECT {_WIRE}) item) AS text) AS json
        FROM present LEFT JOIN entries ON true
        ORDER BY timestamp, history_id
    """),  # noqa: S608  # Constants.
    prefix=REQUIRE_PRIMARY + PLAN_FOR_ANY_PARAMETERS,
)

# No transaction has this id yet.
_NEVER = 2**63 - 1


class NewEntries(NamedTuple):
    """The entries that are not in a position but in the position `present`, oldest first.

    Each is JSON. None: the position is of another history, or the entries are more than `MOST_MISSED`.
    """

    present: EventPosition
    entries: list[str] | None


async def find_new_entries(database: Database, position: EventPosition | None) -> NewEntries:
    """Return the entries that are not in `position`; without one, none. Raises as `Database.run` does."""
    since, others, last_entry = _NEVER, [], None
    if position is not None:
        since, others, last_entry = position.next_transaction, sorted(position.in_progress), position.last_entry
    rows = await database.run(NEW_ENTRIES, {"since": since, "others": others, "last_entry": last_entry})
    first = rows[0]
    present = EventPosition(first.history, first.last_entry, first.next_transaction, frozenset(first.in_progress))
    entries = [row.json for row in rows if row.transaction_id is not None]
    is_known = position is None or (position.history == first.history and (first.has_last_entry or since == 0))
    return NewEntries(present, entries if is_known and len(entries) <= MOST_MISSED else None)
