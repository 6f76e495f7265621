"""Exact counts, whose cost does not grow with the number of rows.

For every row of `task_history` and `tasks`, a trigger inserts a row into `count_changes`, with the
kind and the UTC day of what it counts, in the same transaction. Now and then, such a trigger folds
these changes into `counts`. A count is the sum over both tables. It is exact at every moment,
whoever wrote the rows and whatever times they carry:

- A change is committed with the rows that it counts, or not at all.
- A fold is one statement, which deletes changes and adds their sum to `counts`. So any snapshot
  has either the changes or their sum. A fold does not see uncommitted changes, and leaves them.
- Writers only insert, so they never wait for each other. One transaction at a time folds; the others
  find the advisory lock taken, and leave the changes to a later fold.

Data that bypasses the triggers bypasses the counts: a dump restored without its schema, or the apply
worker of a logical replication. Afterwards, `SELECT recount()` computes all counts from the rows.
"""

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# On average, one change in so many folds all of them. Reads then add up a few hundred changes, and
# folding adds a few percent to the time of the writes.
CHANGES_PER_FOLD = 400
# Any number will do, as long as nothing else takes an advisory lock on it.
ADVISORY_LOCK = 20_261_121

# `counts` has one row for each kind and day, and for each kind one with its total, whose day is null.
# The kinds are the actions, which count entries, and 'task created' and 'task completed', which
# count existing tasks by the day on which they were created or completed.
DAY = "({0} AT TIME ZONE 'UTC')::date"
FOLD_NOW_AND_THEN = f"""
            GET DIAGNOSTICS changes = ROW_COUNT;
            IF random() * {CHANGES_PER_FOLD} < changes THEN
                PERFORM fold_count_changes();
            END IF;
"""
FOLD = f"""
    CREATE FUNCTION fold_count_changes() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
            IF pg_try_advisory_xact_lock({ADVISORY_LOCK}) THEN
                WITH folded AS (DELETE FROM count_changes RETURNING kind, day, change)
                INSERT INTO counts (kind, day, count)
                SELECT kind, day, sum(change) FROM folded GROUP BY GROUPING SETS ((kind, day), (kind))
                ON CONFLICT (day, kind) DO UPDATE SET count = counts.count + excluded.count;
            END IF;
        EXCEPTION WHEN serialization_failure THEN
            -- Another transaction has folded since the snapshot of this one, which is REPEATABLE READ.
            NULL;
        END
    $$
"""
# Most statements change one row. Adding up the changes here would cost them more than it would save the others.
TRIGGER_FUNCTIONS = {
    "count_entries": f"""
        DECLARE
            changes integer;
        BEGIN
            INSERT INTO count_changes (kind, day, change)
            SELECT action_type, {DAY.format("timestamp")}, 1 FROM changed;
            {FOLD_NOW_AND_THEN}
            RETURN NULL;
        END
    """,
    "count_tasks": f"""
        DECLARE
            sign CONSTANT integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
            changes integer;
        BEGIN
            INSERT INTO count_changes (kind, day, change)
            SELECT kind, {DAY.format("at")}, sign
            FROM changed, LATERAL (
                VALUES ('task created', created_at), ('task completed', completed_at)
            ) AS counted (kind, at)
            WHERE at IS NOT NULL;
            {FOLD_NOW_AND_THEN}
            RETURN NULL;
        END
    """,
    "recount_task": f"""
        BEGIN
            IF NEW.created_at <> OLD.created_at THEN
                INSERT INTO count_changes (kind, day, change) VALUES
                    ('task created', {DAY.format("OLD.created_at")}, -1),
                    ('task created', {DAY.format("NEW.created_at")}, 1);
            END IF;
            IF OLD.completed_at IS NOT NULL THEN
                INSERT INTO count_changes (kind, day, change)
                VALUES ('task completed', {DAY.format("OLD.completed_at")}, -1);
            END IF;
            IF NEW.completed_at IS NOT NULL THEN
                INSERT INTO count_changes (kind, day, change)
                VALUES ('task completed', {DAY.format("NEW.completed_at")}, 1);
            END IF;
            RETURN NULL;
        END
    """,
    "uncount_tasks": """
        BEGIN
            IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
                -- Its snapshot may be older than the last tasks that it removes.
                RAISE EXCEPTION 'TRUNCATE of tasks needs the isolation level READ COMMITTED';
            END IF;
            INSERT INTO count_changes (kind, day, change)
            SELECT kind, day, -sum(count)
            FROM (
                SELECT kind, day, count FROM counts WHERE day IS NOT NULL
                UNION ALL
                SELECT kind, day, change FROM count_changes
            ) AS counted
            WHERE kind IN ('task created', 'task completed') GROUP BY 1, 2;
            RETURN NULL;
        END
    """,
}

TRIGGERS = {
    ("tasks", "count_insert"): "AFTER INSERT ON tasks REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION count_tasks()",
    ("tasks", "count_delete"): "AFTER DELETE ON tasks REFERENCING OLD TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION count_tasks()",
    # A row trigger, because a statement trigger with a transition table cannot be limited to columns. It
    # does not fold; a later write of another kind folds the changes that an UPDATE of many tasks leaves.
    ("tasks", "count_update"): "AFTER UPDATE OF created_at, completed_at ON tasks"
    " FOR EACH ROW EXECUTE FUNCTION recount_task()",
    ("tasks", "count_truncate"): "AFTER TRUNCATE ON tasks FOR EACH STATEMENT EXECUTE FUNCTION uncount_tasks()",
    ("task_history", "count_insert"): "AFTER INSERT ON task_history REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION count_entries()",
}

RECOUNT = f"""
    CREATE FUNCTION recount() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
            LOCK TABLE tasks, task_history IN SHARE ROW EXCLUSIVE MODE;
            DELETE FROM count_changes;
            DELETE FROM counts;
            INSERT INTO counts (kind, day, count)
            SELECT kind, day, count(*)
            FROM (
                SELECT action_type AS kind, {DAY.format("timestamp")} AS day FROM task_history
                UNION ALL
                SELECT 'task created', {DAY.format("created_at")} FROM tasks
                UNION ALL
                SELECT 'task completed', {DAY.format("completed_at")} FROM tasks WHERE completed_at IS NOT NULL
            ) AS counted
            GROUP BY GROUPING SETS ((kind, day), (kind));
        END
    $$
"""

# The years that RFC 3339, and so the API, can express.
YEARS = "{0} >= '0001-01-01 00:00:00+00' AND {0} < '10000-01-01 00:00:00+00'"
TIMES = {"tasks": ("created_at", "updated_at", "completed_at"), "task_history": ("timestamp",)}


def upgrade() -> None:
    create_counts()

    for table, columns in TIMES.items():
        for column in columns:
            op.create_check_constraint(op.f(f"ck_{table}_{column}_year"), table, YEARS.format(column))
    # Only the weekly counts used these.
    op.drop_index("ix_tasks_created_at", "tasks")
    op.drop_index("ix_tasks_completed_at", "tasks")
    op.create_index(
        "ix_task_history_action_type_timestamp_history_id",
        "task_history",
        ["action_type", sa.text("timestamp DESC"), sa.text("history_id DESC")],
    )


def create_counts() -> None:
    op.create_table(
        "count_changes",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "counts",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("day", "kind", name=op.f("uq_counts_day_kind"), postgresql_nulls_not_distinct=True),
    )
    for table in ("count_changes", "counts"):
        # They have no primary key, by which a publication of all tables would identify their rows.
        op.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
    # Every read scans this table, and folded rows stay in it until a vacuum.
    op.execute(
        "ALTER TABLE count_changes SET (autovacuum_vacuum_scale_factor = 0,"
        " autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)"
    )
    op.execute(FOLD)
    op.execute(RECOUNT)
    for name, body in TRIGGER_FUNCTIONS.items():
        # The function finds its tables whatever the writer's search_path is.
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $${body}$$"
        )
    for (table, name), definition in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {definition}")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
    op.execute("SELECT recount()")


def downgrade() -> None:
    op.drop_index("ix_task_history_action_type_timestamp_history_id", "task_history")
    op.create_index("ix_tasks_completed_at", "tasks", ["completed_at"])
    op.create_index("ix_tasks_created_at", "tasks", ["created_at"])
    for table, columns in TIMES.items():
        for column in columns:
            op.drop_constraint(f"ck_{table}_{column}_year", table)
    drop_counting()
    op.drop_table("counts")
    op.drop_table("count_changes")


def drop_counting() -> None:
    for table, name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for name in TRIGGER_FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP FUNCTION recount()")
    op.execute("DROP FUNCTION fold_count_changes()")
