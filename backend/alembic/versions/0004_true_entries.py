"""A history that refuses entries that cannot be true.

A trigger refuses an entry of more than an hour ago, and an entry of a task that never was. An entry of the
future cannot be refused: each change of a task is later than the one before it, and a task whose last
change lies in the future must stay changeable.

Who restores entries as they were sets `session_replication_role` to `replica`, which only a superuser may,
and which the apply workers of a logical replication do. Then none is refused.
"""

from types import ModuleType

from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# It also notes late entries, as a trigger of its own did. That one had a condition, which PostgreSQL reads anew
# for every statement, and that takes most of the time that this takes.
CHECK_ENTRY = """
    CREATE FUNCTION check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Whoever may not read the sequence is late, too.
            IF (NEW.timestamp < LATE_BEFORE) IS NOT FALSE THEN
                INSERT INTO SCHEMA.late_entries (kind, timestamp) VALUES (NEW.action_type, NEW.timestamp);
            END IF;
            IF current_setting('session_replication_role') = 'replica' THEN
                RETURN NULL;
            END IF;
            IF NEW.timestamp < clock_timestamp() - interval '1 hour' THEN
                RAISE EXCEPTION 'task_history takes no entry of more than an hour ago: % refused', NEW.timestamp
                    USING ERRCODE = 'restrict_violation';
            END IF;
            PERFORM FROM SCHEMA.tasks WHERE id = NEW.task_id;
            IF NOT FOUND AND current_setting('task_backend.deleted_task', true) IS DISTINCT FROM NEW.task_id::text THEN
                -- Entries of one statement do not vouch for each other.
                PERFORM FROM SCHEMA.task_history AS entry JOIN SCHEMA.task_history AS other USING (task_id)
                WHERE entry.history_id = NEW.history_id AND NOT (other.xmin = entry.xmin AND other.cmin = entry.cmin);
                IF NOT FOUND THEN
                    RAISE EXCEPTION 'task_history takes no entry of a task that never was: % refused', NEW.task_id
                        USING ERRCODE = 'restrict_violation';
                END IF;
            END IF;
            RETURN NULL;
        END
    $$
"""
# For a task without history, from an import for example: it is gone when the entry of its deletion is checked.
# Whoever sets this without a deletion could as well insert the task and delete it.
NOTE_DELETION = """
    CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM set_config('task_backend.deleted_task', OLD.id::text, true);
            RETURN NULL;
        END
    $$
"""


def upgrade() -> None:
    before = _revision_0003()
    late_before = before.LATE_BEFORE.replace("late_before", "SCHEMA.late_before")
    _drop("note_late_entry", "task_history")
    op.execute(CHECK_ENTRY.replace("LATE_BEFORE", late_before).replace("SCHEMA", before._schema()))
    _create("check_entry", "task_history", "AFTER INSERT ON task_history FOR EACH ROW EXECUTE FUNCTION check_entry()")
    op.execute(NOTE_DELETION)
    _create("note_deletion", "tasks", "AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION note_deletion()")


def downgrade() -> None:
    before = _revision_0003()
    _drop("note_deletion", "tasks")
    _drop("check_entry", "task_history")
    op.execute(before.NOTE_LATE_ENTRY.replace("SCHEMA", before._schema()))
    _create("note_late_entry", "task_history", before.TRIGGERS["task_history", "note_late_entry"])


def _drop(name: str, table: str) -> None:
    op.execute(f"DROP TRIGGER {name} ON {table}")
    op.execute(f"DROP FUNCTION {name}()")


def _create(name: str, table: str, definition: str) -> None:
    op.execute(f"CREATE TRIGGER {name} {definition}")
    op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def _revision_0003() -> ModuleType:
    revision = context.script.get_revision("0003")
    assert revision is not None
    return revision.module
