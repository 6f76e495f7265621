"""A history that refuses backdated entries.

A trigger refuses entries whose time is more than an hour ago. It cannot refuse entries from the future:
each change of a task is later than the one before it, and a task whose last change lies in the future must
stay changeable.

To restore entries as they were, set `session_replication_role` to `replica`; no entry is refused then. Only
a superuser may set it. The apply workers of a logical replication have it set.
"""

from types import ModuleType

from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The function also notes late entries, which a separate trigger did before. PostgreSQL parsed the condition of
# that trigger again for every statement, which took as long as this whole function.
CHECK_ENTRY = """
    CREATE FUNCTION check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Whoever may not read the sequence is late, too.
            IF (NEW.timestamp < LATE_BEFORE) IS NOT FALSE THEN
                INSERT INTO SCHEMA.late_entries (kind, timestamp) VALUES (NEW.action_type, NEW.timestamp);
            END IF;
            IF NEW.timestamp < clock_timestamp() - interval '1 hour'
                AND current_setting('session_replication_role') <> 'replica'
            THEN
                RAISE EXCEPTION 'task_history takes no entry of more than an hour ago: % refused', NEW.timestamp
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NULL;
        END
    $$
"""


def upgrade() -> None:
    before = _revision_0003()
    late_before = before.LATE_BEFORE.replace("late_before", "SCHEMA.late_before")
    _drop("note_late_entry")
    op.execute(CHECK_ENTRY.replace("LATE_BEFORE", late_before).replace("SCHEMA", before.current_schema()))
    _create("check_entry", "AFTER INSERT ON task_history FOR EACH ROW EXECUTE FUNCTION check_entry()")


def downgrade() -> None:
    before = _revision_0003()
    _drop("check_entry")
    op.execute(before.NOTE_LATE_ENTRY.replace("SCHEMA", before.current_schema()))
    _create("note_late_entry", before.TRIGGERS["task_history", "note_late_entry"])


def _drop(name: str) -> None:
    op.execute(f"DROP TRIGGER {name} ON task_history")
    op.execute(f"DROP FUNCTION {name}()")


def _create(name: str, definition: str) -> None:
    op.execute(f"CREATE TRIGGER {name} {definition}")
    op.execute(f"ALTER TABLE task_history ENABLE ALWAYS TRIGGER {name}")


def _revision_0003() -> ModuleType:
    revision = context.script.get_revision("0003")
    assert revision is not None
    return revision.module
