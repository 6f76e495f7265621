"""Counts of each quarter of an hour, for the days and weeks of any time zone.

Days begin at other moments in Berlin than in UTC, but since 1980 in every zone on a quarter of an hour. So a row
of `counts` also has `quarters`: 96 numbers, of which the nth counts what happened in the first n quarters of its
UTC day. They are running totals, so one of them says how many came before a moment of the day. The rows of the
totals, whose day is null, have none. A change that is not in `counts` yet has the `quarter` of its moment, 0 to 95.

`fold_counts()`, `recount()` and the triggers handle quarters as revision 0003 explains it for days, in the same
statements. So they are as exact.

The upgrade counts all rows again, and callers wait meanwhile: less than a second for each million entries. Callers
who wait for more than STATEMENT_TIMEOUT_S get a 503.
"""

from types import ModuleType

import sqlalchemy as sa

from alembic import context, op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Of a time, the day and the quarter of an hour in UTC. A double holds each microsecond of a day exactly enough:
# the last one before a quarter stays before it.
DAY = "({0} AT TIME ZONE 'UTC')::date"
QUARTER = "floor(date_part('epoch', ({0} AT TIME ZONE 'UTC')::time) / 900)::smallint"
# The beginning of the quarter of an hour.
QUARTER_HOUR = "date_bin('15 minutes', {0}, 'epoch')"


def _moment(of: str) -> str:
    return f"{DAY.format(of)} AS day, {QUARTER.format(of)} AS quarter"


# Adds up `uncounted`, which has a kind, day, quarter and change in each row. One pass over it takes a quarter of the
# time of a join with the 96 quarters, which the planner misjudges.
QUARTERS = ", ".join(f"coalesce(sum(change) FILTER (WHERE quarter < {end}), 0)" for end in range(1, 97))
COUNT = f"""
            INSERT INTO counts (kind, day, count, quarters)
            SELECT kind, day, sum(change), CASE WHEN day IS NOT NULL THEN ARRAY[{QUARTERS}] END
            FROM uncounted GROUP BY GROUPING SETS ((kind, day), (kind))
"""


def _view() -> str:
    before = _revision_0003()
    return f"""
    CREATE OR REPLACE VIEW count_changes AS
    SELECT action_type::text AS kind, {DAY.format("timestamp")} AS day, 1::bigint AS change,
        {QUARTER.format("timestamp")} AS quarter
    FROM task_history
    WHERE timestamp >= (SELECT entries_until FROM counted) AND timestamp < {before.END_OF_TIME}
    UNION ALL
    SELECT kind, {DAY.format("timestamp")}, 1, {QUARTER.format("timestamp")}
    FROM late_entries
    WHERE timestamp < (SELECT entries_until FROM counted)
    UNION ALL
    SELECT kind, day, change, quarter
    FROM task_count_changes
    WHERE number > (SELECT task_changes FROM counted) AND number <= {before.HIGHEST_NUMBER}
"""


def _count_task(kind: str, row: str, change: int) -> str:
    at = f"{row}.{kind}_at"
    # The name has its schema, so the function finds the table whatever the writer's search_path is. Setting a
    # search_path for the function would take time at every call.
    return (
        "INSERT INTO SCHEMA.task_count_changes (kind, day, change, quarter)"
        f" VALUES ('task {kind}', {DAY.format(at)}, {change}, {QUARTER.format(at)})"
    )


COUNT_TASK = f"""
    CREATE OR REPLACE FUNCTION count_task() RETURNS trigger LANGUAGE plpgsql AS $$
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
UNCOUNT_TASKS = """
    CREATE OR REPLACE FUNCTION uncount_tasks() RETURNS trigger LANGUAGE plpgsql
    SET search_path = SCHEMA, pg_temp AS $$
        BEGIN
            READ_COMMITTED;
            INSERT INTO task_count_changes (kind, day, change, quarter)
            SELECT kind, day, -sum(change), quarter
            FROM (
                SELECT kind, day, so_far - coalesce(quarters[number - 1], 0) AS change, number - 1 AS quarter
                FROM counts, unnest(quarters) WITH ORDINALITY AS running (so_far, number)
                UNION ALL
                SELECT kind, day, change, quarter FROM count_changes
            ) AS counted
            WHERE kind IN ('task created', 'task completed')
            GROUP BY kind, day, quarter HAVING sum(change) <> 0;
            RETURN NULL;
        END
    $$
"""
FOLD = f"""
    CREATE OR REPLACE FUNCTION fold_counts() RETURNS void LANGUAGE plpgsql SET search_path = SCHEMA, pg_temp AS $$
        DECLARE
            until timestamptz;
            last_change bigint;
            writers text[];
            before counted;
        BEGIN
            READ_COMMITTED;
            -- Never back, even if the clock goes there.
            PERFORM setval('late_before', greatest(
                pg_sequence_last_value('late_before'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
            ));
            until := LATE_BEFORE;
            last_change := coalesce(pg_sequence_last_value('task_count_changes_number_seq'), 0);

            writers := ARRAY(WRITERS);
            FOR step IN 1..200 LOOP
                EXIT WHEN NOT EXISTS (WRITERS AND virtualtransaction = ANY (writers));
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
                RETURNING kind, day, change, quarter
            ), uncounted AS (
                SELECT action_type AS kind, {_moment("timestamp")}, 1 AS change
                FROM task_history WHERE timestamp >= before.entries_until AND timestamp < until
                UNION ALL
                SELECT kind, {_moment("timestamp")}, 1 FROM late WHERE timestamp < before.entries_until
                UNION ALL
                SELECT kind, day, quarter, change::integer FROM task_change
            )
            {COUNT}
            ON CONFLICT (day, kind) DO UPDATE SET
                count = counts.count + excluded.count,
                quarters = CASE WHEN excluded.day IS NOT NULL THEN ARRAY(
                    SELECT there + added
                    FROM unnest(counts.quarters, excluded.quarters) WITH ORDINALITY AS summands (there, added, number)
                    ORDER BY number
                ) END;
            UPDATE counted SET entries_until = until, task_changes = last_change;
        END
    $$
"""
# It adds up each quarter of an hour first. The fastest way through a long history is to read the table, not an index,
# with enough memory for a number for each action and quarter.
RECOUNT = f"""
    CREATE OR REPLACE FUNCTION recount() RETURNS void LANGUAGE plpgsql
    SET search_path = SCHEMA, pg_temp SET work_mem = '128MB' SET enable_indexonlyscan = off AS $$
        BEGIN
            READ_COMMITTED;
            LOCK TABLE tasks, task_history IN SHARE ROW EXCLUSIVE MODE;
            -- No fold is in the middle of it.
            PERFORM FROM counted FOR UPDATE;
            DELETE FROM late_entries;
            DELETE FROM task_count_changes;
            DELETE FROM counts;
            WITH there AS (
                SELECT action_type AS kind, {QUARTER_HOUR.format("timestamp")} AS at, count(*) AS change
                FROM task_history WHERE timestamp < (SELECT entries_until FROM counted)
                GROUP BY 1, 2
                UNION ALL
                SELECT 'task created', {QUARTER_HOUR.format("created_at")}, count(*) FROM tasks GROUP BY 2
                UNION ALL
                SELECT 'task completed', {QUARTER_HOUR.format("completed_at")}, count(*)
                FROM tasks WHERE completed_at IS NOT NULL
                GROUP BY 2
            ), uncounted AS (
                SELECT kind, {_moment("at")}, change::integer FROM there
            )
            {COUNT};
        END
    $$
"""


def upgrade() -> None:
    # The recount fills both tables again. Deleting these rows first lets the column be NOT NULL.
    op.execute("DELETE FROM task_count_changes")
    op.add_column("task_count_changes", sa.Column("quarter", sa.SmallInteger(), nullable=False))
    op.add_column("counts", sa.Column("quarters", sa.ARRAY(sa.Integer()), nullable=True))
    op.execute(_view())
    for function in (COUNT_TASK, UNCOUNT_TASKS, FOLD, RECOUNT):
        op.execute(_complete(function))
    op.execute("SELECT recount()")


def downgrade() -> None:
    before = _revision_0003()
    op.execute("DROP VIEW count_changes")
    op.execute(before.VIEW)
    for function in (before.COUNT_TASK, before.UNCOUNT_TASKS, before.FOLD, before.RECOUNT):
        replaced = function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        op.execute(replaced.replace("SCHEMA", before.current_schema()))
    op.drop_column("counts", "quarters")
    op.drop_column("task_count_changes", "quarter")


def _complete(function: str) -> str:
    """Fill in what revision 0003 has for these functions, too."""
    before = _revision_0003()
    name = function.split("FUNCTION ")[1].split("()", maxsplit=1)[0]
    refused = {"uncount_tasks": "TRUNCATE of tasks"}.get(name, f"{name}()")
    return (
        function.replace("READ_COMMITTED", before.READ_COMMITTED.format(refused).strip())
        .replace("WRITERS", before.WRITERS.strip())
        .replace("LATE_BEFORE", before.LATE_BEFORE)
        .replace("SCHEMA", before.current_schema())
    )


def _revision_0003() -> ModuleType:
    revision = context.script.get_revision("0003")
    assert revision is not None
    return revision.module
