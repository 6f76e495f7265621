"""The transaction of each entry, so that listeners can be told of every new one.

Transactions are not committed in the order of their entries' times, and one may stay open for hours. A snapshot
of PostgreSQL says exactly which transactions had ended when it was taken, so the id of its transaction tells
whether a snapshot includes an entry (see src/services/event_positions.py).

A trigger writes the id, whoever inserts the entry and whatever that client gives. Entries from before keep null: no
listener can have a position before them. The upgrade reads the table once, for an index that is empty at first.
"""

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STAMP_ENTRY = """
    CREATE FUNCTION stamp_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.transaction_id := pg_current_xact_id();
            RETURN NEW;
        END
    $$
"""
_INDEX = "ix_task_history_transaction_id"


def upgrade() -> None:
    op.add_column("task_history", sa.Column("transaction_id", sa.BigInteger(), nullable=True))
    op.create_index(_INDEX, "task_history", ["transaction_id"], postgresql_where=sa.text("transaction_id IS NOT NULL"))
    op.execute(STAMP_ENTRY)
    op.execute("CREATE TRIGGER stamp_entry BEFORE INSERT ON task_history FOR EACH ROW EXECUTE FUNCTION stamp_entry()")
    op.execute("ALTER TABLE task_history ENABLE ALWAYS TRIGGER stamp_entry")


def downgrade() -> None:
    op.execute("DROP TRIGGER stamp_entry ON task_history")
    op.execute("DROP FUNCTION stamp_entry()")
    op.drop_column("task_history", "transaction_id")
