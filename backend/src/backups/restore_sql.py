"""The SQL around pg_restore's own, in the same transaction, and the check after it."""

import src.models  # noqa: F401  # Registers the tables with the metadata.
from src.backups.file import Label
from src.backups.target import NO_TIMEOUTS
from src.database.base import Base
from src.database.migrate import ADVISORY_LOCK

# Every table and view that a revision of the schema has had. Other tables of the database are not ours.
_RELATIONS = ", ".join(f"'{name}'" for name in sorted({*Base.metadata.tables, "alembic_version", "count_changes"}))
# The functions that no trigger calls.
_FUNCTIONS = "'fold_count_changes', 'fold_counts', 'recount'"

# How long to wait for those who use the tables.
_LOCK_TIMEOUT_S = 15

_BEFORE = f"""
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;
SET LOCAL client_encoding = 'UTF8';
{NO_TIMEOUTS};
SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s';
-- No service migrates meanwhile.
SELECT pg_advisory_xact_lock({ADVISORY_LOCK});

-- The same owner as before, if this role may act as that one.
SELECT set_config('role', pg_get_userbyid(relowner), true)
FROM pg_class
WHERE oid = to_regclass(quote_ident(current_schema()) || '.tasks') AND relowner <> current_user::regrole;

DO $restore$
    DECLARE
        found text;
        is_filled boolean;
    BEGIN
        IF current_schema() IS DISTINCT FROM :schema THEN
            RAISE EXCEPTION 'The backup is of the schema %, and the database uses %', :schema, current_schema();
        END IF;
        FOR found IN
            SELECT oid::regclass FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relname IN ('tasks', 'task_history')
            ORDER BY relname DESC
        LOOP
            -- The service writes to both, in this order.
            EXECUTE 'LOCK TABLE ' || found;
            EXECUTE 'SELECT EXISTS (SELECT FROM ' || found || ')' INTO is_filled;
            IF is_filled THEN
                RAISE EXCEPTION 'The database has tasks or history entries already, and a restore needs an empty one';
            END IF;
        END LOOP;
    END
$restore$;

CREATE TEMPORARY TABLE kept_grants ON COMMIT DROP AS
SELECT relname, relkind, grantee, privilege_type, is_grantable
FROM pg_class, aclexplode(relacl)
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v', 'S') AND grantee <> relowner;

DO $restore$
    DECLARE
        relations CONSTANT oid[] := ARRAY(
            SELECT oid FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relname IN ({_RELATIONS})
        );
        functions CONSTANT regprocedure[] := ARRAY(
            SELECT tgfoid FROM pg_trigger WHERE tgrelid = ANY (relations) AND NOT tgisinternal
            UNION
            SELECT oid FROM pg_proc
            WHERE pronamespace = current_schema()::regnamespace AND proname IN ({_FUNCTIONS})
        );
        found text;
    BEGIN
        -- Without CASCADE: if something of somebody else depends on them, that person decides.
        FOR found IN SELECT oid::regclass FROM pg_class WHERE oid = ANY (relations) AND relkind = 'v' LOOP
            EXECUTE 'DROP VIEW ' || found;
        END LOOP;
        SELECT string_agg(oid::regclass::text, ', ') INTO found
        FROM pg_class WHERE oid = ANY (relations) AND relkind IN ('r', 'p');
        IF found IS NOT NULL THEN
            EXECUTE 'DROP TABLE ' || found;
        END IF;
        DROP SEQUENCE IF EXISTS late_before;
        FOREACH found IN ARRAY functions LOOP
            EXECUTE 'DROP FUNCTION ' || found;
        END LOOP;
    END
$restore$;
"""  # noqa: S608  # Constants.

_AFTER = """
SET LOCAL search_path = :name;
DO $restore$
    DECLARE
        tasks CONSTANT bigint := (SELECT count(*) FROM tasks);
        entries CONSTANT bigint := (SELECT count(*) FROM task_history);
        kept record;
        transactions CONSTANT text := pg_get_indexdef(to_regclass('ix_task_history_transaction_id'));
    BEGIN
        IF (tasks, entries) IS DISTINCT FROM (:tasks, :entries) THEN
            RAISE EXCEPTION 'The backup had :tasks tasks and :entries history entries, and % and % have arrived',
                tasks, entries;
        END IF;
        IF transactions IS NOT NULL THEN
            -- They were transactions of another server.
            ALTER TABLE task_history DROP COLUMN transaction_id, ADD COLUMN transaction_id bigint;
            EXECUTE transactions;
        END IF;
        FOR kept IN
            SELECT format('%s ON %s %I TO %s', privilege_type,
                CASE kept_grants.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
                    || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS privilege
            FROM pg_temp.kept_grants JOIN pg_class USING (relname)
            WHERE relnamespace = current_schema()::regnamespace
        LOOP
            EXECUTE 'GRANT ' || kept.privilege;
        END LOOP;
    END
$restore$;
COMMIT;
"""

# After the restore, nothing knows the size of the tables, nor that all their rows are visible to everybody.
ANALYZE = "VACUUM (ANALYZE) tasks, task_history, counts"

_DAY = "({0} AT TIME ZONE 'UTC')::date"
_QUARTER = "floor(date_part('epoch', ({0} AT TIME ZONE 'UTC')::time) / 900)"

# Returns the kinds whose maintained totals differ from a count of the rows: in all, on a UTC day or in a quarter of an
# hour. `quarters` are running totals.
MISCOUNTED = f"""
    WITH there AS MATERIALIZED (
        SELECT action_type AS kind, {_DAY.format("timestamp")} AS day, {_QUARTER.format("timestamp")} AS quarter,
            count(*) AS change
        FROM task_history GROUP BY 1, 2, 3
        UNION ALL
        SELECT 'task created', {_DAY.format("created_at")}, {_QUARTER.format("created_at")}, count(*)
        FROM tasks GROUP BY 1, 2, 3
        UNION ALL
        SELECT 'task completed', {_DAY.format("completed_at")}, {_QUARTER.format("completed_at")}, count(*)
        FROM tasks WHERE is_completed GROUP BY 1, 2, 3
    ), uncounted AS MATERIALIZED (
        SELECT kind, day, quarter, change FROM count_changes
        UNION ALL
        SELECT kind, day, quarter, -change FROM there
    ), difference AS (
        SELECT kind, day, number - 1 AS quarter, so_far - coalesce(quarters[number - 1], 0) AS change
        FROM counts, unnest(quarters) WITH ORDINALITY AS running (so_far, number)
        UNION ALL
        SELECT kind, day, quarter, change FROM uncounted
        UNION ALL
        SELECT kind, day, NULL, count FROM counts
        UNION ALL
        SELECT kind, day, NULL, change FROM uncounted
        UNION ALL
        SELECT kind, NULL, NULL, change FROM uncounted
    )
    SELECT DISTINCT kind FROM (
        SELECT kind FROM difference GROUP BY kind, day, quarter HAVING sum(change) <> 0
    ) AS wrong ORDER BY kind
"""  # noqa: S608  # Constants.


def sql_before(label: Label) -> str:
    """Return the SQL that opens the transaction, refuses a database with data, and drops its empty tables."""
    return _BEFORE.replace(":schema", _literal(label.schema))


def sql_after(label: Label) -> str:
    """Return the SQL that counts what has arrived, grants what was granted before, and commits."""
    name = '"' + label.schema.replace('"', '""') + '"'
    # Numbers first: the name may hold anything.
    return _AFTER.replace(":tasks", str(label.tasks)).replace(":entries", str(label.entries)).replace(":name", name)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
