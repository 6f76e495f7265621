"""Entries that hold their change, so that it can be undone.

The columns are null in the entries that are there, and in those that an older version of the service writes
meanwhile. So nothing is rewritten or checked, and the migration takes no longer on a long history.

No index finds the entry that undid another: the service derives its `history_id` from that of the other.
"""

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task_history", sa.Column("task_title", sa.Text(), nullable=True))
    op.add_column("task_history", sa.Column("changes", sa.JSON(), nullable=True))
    op.add_column("task_history", sa.Column("undoes", sa.Uuid(), nullable=True))


def downgrade() -> None:
    for column in ("undoes", "changes", "task_title"):
        op.drop_column("task_history", column)
