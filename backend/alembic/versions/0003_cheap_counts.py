"""Counts that are maintained outside of the writes that they count.

`counts` covers the entries before the moment `counted.entries_until`, and the tasks up to the change with
the number `counted.task_changes`. Reads count the rest themselves. The rest stays small, because now and
then the service calls `fold_counts()`, which moves both marks forward. The view `count_changes` shows the
changes that are not in `counts` yet:

- entries with a later time, from the index on the time: they cost a write nothing extra;
- entries that were written with an earlier time after `counts` had passed it, from `late_entries`;
- changes of the number of tasks, from `task_count_changes`, which numbers them. Reads look only at numbers
  above `counted.task_changes`, so it does not matter how long folded changes stay in the table, which is
  until no snapshot is open that is older than their deletion.

A count is exact at every moment, whoever wrote the rows, whatever times they carry and whatever the
clock does:

- A change is committed with the rows that it counts, or not at all.
- A fold is committed as a whole, so any snapshot has either a change or the count that includes it.
- The sequence `late_before` decides which entries are late. Its value, in microseconds since 1970, is the
  same for every transaction from the moment it is set. A fold first moves it forward, and reads the number
  of the last change. Then it waits for every transaction that has already begun to write to one of the two
  tables, and so may have seen the old value or hold a lower number; each holds a lock until it ends. Only
  then does the fold count.

Nobody waits for a fold. While a transaction that wrote stays open, folds give up, and the rest that reads
must count grows.

Data that bypasses the triggers bypasses the counts: a dump restored without its schema, or the apply
worker of a logical replication. Afterwards, `SELECT recount()` computes all counts from the rows.
"""

from types import ModuleType

import sqlalchemy as sa

from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DAY = "({0} AT TIME ZONE 'UTC')::date"
# The same value as in the view `pg_sequences`.
LATE_BEFORE = "timestamptz 'epoch' + pg_sequence_last_value('late_before') * interval '1 microsecond'"
# Upper bounds for the planner, which does not know the values: above one bound, it expects a third of a table,
# but little between two.
END_OF_TIME = "'10000-01-01 00:00:00+00'"
HIGHEST_NUMBER = 2**63 - 1

VIEW = f"""
    CREATE VIEW count_changes AS
    SELECT action_type::text AS kind, {DAY.format("timestamp")} AS day, 1::bigint AS change
    FROM task_history
    WHERE timestamp >= (SELECT entries_until FROM counted) AND timestamp < {END_OF_TIME}
    UNION ALL
    SELECT kind, {DAY.format("timestamp")}, 1
    FROM late_entries
    WHERE timestamp < (SELECT entries_until FROM counted)
    UNION ALL
    SELECT kind, day, change
    FROM task_count_changes
    WHERE number > (SELECT task_changes FROM counted) AND number <= {HIGHEST_NUMBER}
"""


def _count_task(kind: str, row: str, change: int) -> str:
    # The name has its schema, so the function finds the table whatever the writer's search_path is. Setting a
    # search_path for the function would take time at every call.
    return (
        "INSERT INTO SCHEMA.task_count_changes (kind, day, change)"
        f" VALUES ('task {kind}', {DAY.format(f'{row}.{kind}_at')}, {change})"
    )


NOTE_LATE_ENTRY = """
    CREATE FUNCTION note_late_entry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO SCHEMA.late_entries (kind, timestamp) VALUES (NEW.action_type, NEW.timestamp);
            RETURN NULL;
        END
    $$
"""
COUNT_TASK = f"""
    CREATE FUNCTION count_task() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' AND NEW.created_at <> OLD.created_at THEN
                {_count_task("created", "NEW", 1)};
            END IF;
            IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND NEW.created_at <> OLD.created_at THEN
                {_count_task("created", "OLD", -1)};
            END IF;
            IF TG_OP <> 'DELETE' AND NEW.completed_at IS NOT NULL THEN
                {_count_task("completed", "NEW", 1)};
            END IF;
            IF TG_OP <> 'INSERT' AND OLD.completed_at IS NOT NULL THEN
                {_count_task("completed", "OLD", -1)};
            END IF;
            RETURN NULL;
        END
    $$
"""
# At these isolation levels, the snapshot may be older than the last rows to count.
READ_COMMITTED = """
            IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
                RAISE EXCEPTION '{} needs the isolation level READ COMMITTED';
            END IF
"""
UNCOUNT_TASKS = f"""
    CREATE FUNCTION uncount_tasks() RETURNS trigger LANGUAGE plpgsql SET search_path = SCHEMA, pg_temp AS $$
        BEGIN
            {READ_COMMITTED.format("TRUNCATE of tasks")};
            INSERT INTO task_count_changes (kind, day, change)
            SELECT kind, day, -sum(count)
            FROM (
                SELECT kind, day, count FROM counts WHERE day IS NOT NULL
                UNION ALL
                SELECT kind, day, change FROM count_changes
            ) AS counted
            WHERE kind IN ('task created', 'task completed') GROUP BY 1, 2;
            RETURN NULL;
        END
    $$
"""
TRIGGERS = {
    ("tasks", "count_change"): "AFTER INSERT OR DELETE OR UPDATE OF created_at, completed_at ON tasks"
    " FOR EACH ROW EXECUTE FUNCTION count_task()",
    ("tasks", "count_truncate"): "AFTER TRUNCATE ON tasks FOR EACH STATEMENT EXECUTE FUNCTION uncount_tasks()",
    # The value is null for a role that may not read the sequence; its entries count as late, too.
    ("task_history", "note_late_entry"): "AFTER INSERT ON task_history FOR EACH ROW"
    f" WHEN ((NEW.timestamp < {LATE_BEFORE}) IS NOT FALSE) EXECUTE FUNCTION note_late_entry()",
}

WRITERS = """
                SELECT virtualtransaction
                FROM pg_locks
                WHERE relation IN ('task_history'::regclass, 'task_count_changes'::regclass)
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
"""
FOLD = f"""
    CREATE FUNCTION fold_counts() RETURNS void LANGUAGE plpgsql SET search_path = SCHEMA, pg_temp AS $$
        DECLARE
            until timestamptz;
            last_change bigint;
            writers text[];
            before counted;
        BEGIN
            {READ_COMMITTED.format("fold_counts()")};
            -- Never back, even if the clock goes there.
            PERFORM setval('late_before', greatest(
                pg_sequence_last_value('late_before'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
            ));
            until := {LATE_BEFORE};
            last_change := coalesce(pg_sequence_last_value('task_count_changes_number_seq'), 0);

            writers := ARRAY({WRITERS});
            FOR step IN 1..200 LOOP
                EXIT WHEN NOT EXISTS ({WRITERS} AND virtualtransaction = ANY (writers));
                IF step = 200 THEN
                    RAISE EXCEPTION 'a transaction that wrote tasks stays open'
                        USING ERRCODE = 'lock_not_available';
                END IF;
                PERFORM pg_sleep(0.005);
            END LOOP;

            SELECT * INTO before FROM counted FOR UPDATE;
            -- Another fold may have been faster.
            until := greatest(until, before.entries_until);
            last_change := greatest(last_change, before.task_changes);
            WITH late AS (
                DELETE FROM late_entries WHERE timestamp < until RETURNING kind, timestamp
            ), task_change AS (
                DELETE FROM task_count_changes WHERE number > before.task_changes AND number <= last_change
                RETURNING kind, day, change
            ), uncounted AS (
                SELECT action_type AS kind, {DAY.format("timestamp")} AS day, 1 AS change
                FROM task_history WHERE timestamp >= before.entries_until AND timestamp < until
                UNION ALL
                SELECT kind, {DAY.format("timestamp")}, 1 FROM late WHERE timestamp < before.entries_until
                UNION ALL
                SELECT kind, day, change FROM task_change
            )
            INSERT INTO counts (kind, day, count)
            SELECT kind, day, sum(change) FROM uncounted GROUP BY GROUPING SETS ((kind, day), (kind))
            ON CONFLICT (day, kind) DO UPDATE SET count = counts.count + excluded.count;
            UPDATE counted SET entries_until = until, task_changes = last_change;
        END
    $$
"""
RECOUNT = f"""
    CREATE FUNCTION recount() RETURNS void LANGUAGE plpgsql SET search_path = SCHEMA, pg_temp AS $$
        BEGIN
            {READ_COMMITTED.format("recount()")};
            LOCK TABLE tasks, task_history IN SHARE ROW EXCLUSIVE MODE;
            -- No fold is in the middle of it.
            PERFORM FROM counted FOR UPDATE;
            DELETE FROM late_entries;
            DELETE FROM task_count_changes;
            DELETE FROM counts;
            INSERT INTO counts (kind, day, count)
            SELECT kind, day, count(*)
            FROM (
                SELECT action_type AS kind, {DAY.format("timestamp")} AS day
                FROM task_history WHERE timestamp < (SELECT entries_until FROM counted)
                UNION ALL
                SELECT 'task created', {DAY.format("created_at")} FROM tasks
                UNION ALL
                SELECT 'task completed', {DAY.format("completed_at")} FROM tasks WHERE completed_at IS NOT NULL
            ) AS there
            GROUP BY GROUPING SETS ((kind, day), (kind));
        END
    $$
"""

# A copy of `VISIBLE_CHARACTER` in src/utils/validators.py, as it was at this revision.
VISIBLE_CHARACTER = (
    r"[^\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def upgrade() -> None:
    _revision_0002().drop_counting()
    op.drop_table("count_changes")

    op.create_table(
        "counted",
        sa.Column("entries_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_changes", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "late_entries",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
    )
    for table in ("counted", "late_entries"):
        # They have no primary key, by which a publication of all tables would identify their rows.
        op.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
    op.create_table(
        "task_count_changes",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_task_count_changes")),
    )
    op.execute("CREATE SEQUENCE late_before")
    op.execute("SELECT setval('late_before', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)")
    op.execute(f"INSERT INTO counted SELECT {LATE_BEFORE}, 0")
    op.execute(VIEW)
    for function in (NOTE_LATE_ENTRY, COUNT_TASK, UNCOUNT_TASKS, FOLD, RECOUNT):
        op.execute(function.replace("SCHEMA", current_schema()))
    for (table, name), definition in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {definition}")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
    op.execute("SELECT recount()")

    # The same rule, but most titles skip the regular expression, which takes half the time of an INSERT.
    _check_titles(f"ascii(title) BETWEEN 33 AND 126 OR title ~ '{VISIBLE_CHARACTER}'")


def downgrade() -> None:
    _check_titles(f"title ~ '{VISIBLE_CHARACTER}'")
    for table, name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for function in ("recount", "fold_counts", "uncount_tasks", "count_task", "note_late_entry"):
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("DROP VIEW count_changes")
    op.execute("DROP SEQUENCE late_before")
    for table in ("task_count_changes", "late_entries", "counted", "counts"):
        op.drop_table(table)
    _revision_0002().create_counts()


def _check_titles(condition: str) -> None:
    op.drop_constraint("ck_tasks_title_visible", "tasks")
    op.create_check_constraint(op.f("ck_tasks_title_visible"), "tasks", condition)


def current_schema() -> str:
    """Return the name of the schema that has the tables, quoted for SQL."""
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))


def _revision_0002() -> ModuleType:
    revision = context.script.get_revision("0002")
    assert revision is not None
    return revision.module
