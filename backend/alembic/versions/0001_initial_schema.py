"""Initial schema: tasks, and their append-only history."""

import sqlalchemy as sa

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A copy of `VISIBLE_CHARACTER` in src/utils/validators.py, as it was at this revision.
VISIBLE_CHARACTER = (
    r"[^\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("is_completed", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.CheckConstraint("char_length(title) <= 255", name=op.f("ck_tasks_title_length")),
        sa.CheckConstraint(f"title ~ '{VISIBLE_CHARACTER}'", name=op.f("ck_tasks_title_visible")),
        sa.CheckConstraint("char_length(description) <= 5000", name=op.f("ck_tasks_description_length")),
        sa.CheckConstraint("is_completed = (completed_at IS NOT NULL)", name=op.f("ck_tasks_completed_at_consistent")),
    )
    op.create_index("ix_tasks_is_completed_created_at_id", "tasks", ["is_completed", sa.text("created_at DESC"), "id"])
    op.create_index("ix_tasks_created_at", "tasks", ["created_at"])
    op.create_index("ix_tasks_completed_at", "tasks", ["completed_at"])

    op.create_table(
        "task_history",
        sa.Column("history_id", sa.Uuid(), nullable=False),
        # No foreign key: entries outlive their task.
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("action_type", sa.String(11), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("history_id", name=op.f("pk_task_history")),
        sa.CheckConstraint(
            "action_type IN ('CREATED', 'UPDATED', 'COMPLETED', 'INCOMPLETED', 'DELETED')",
            name=op.f("ck_task_history_action_type"),
        ),
    )
    op.create_index(
        "ix_task_history_task_id_timestamp_history_id",
        "task_history",
        ["task_id", sa.text("timestamp DESC"), sa.text("history_id DESC")],
    )
    op.create_index(
        "ix_task_history_timestamp_history_id", "task_history", [sa.text("timestamp DESC"), sa.text("history_id DESC")]
    )
    _make_history_immutable()


def _make_history_immutable() -> None:
    """Refuse every change except INSERT, even to the owner of the table.

    A rule would silently ignore a DELETE, and let TRUNCATE through. ENABLE ALWAYS keeps the triggers
    on when session_replication_role turns ordinary ones off.
    """
    op.execute(
        """
        CREATE FUNCTION refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'task_history is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON task_history"
        " FOR EACH ROW EXECUTE FUNCTION refuse_history_change()"
    )
    op.execute(
        "CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON task_history"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_history_change()"
    )
    op.execute("ALTER TABLE task_history ENABLE ALWAYS TRIGGER refuse_change")
    op.execute("ALTER TABLE task_history ENABLE ALWAYS TRIGGER refuse_truncate")


def downgrade() -> None:
    op.drop_table("task_history")
    op.drop_table("tasks")
    op.execute("DROP FUNCTION refuse_history_change()")
