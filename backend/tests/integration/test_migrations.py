"""The migrations: they agree with the models, and run while callers are at work."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, NullPool, Row, create_engine, text
from sqlalchemy.exc import DBAPIError

import src.models
from config import ConfigurationError
from src.database.base import Base
from src.database.migrate import prepare_schema
from src.database.search_indexes import INDEXES
from tests.support.alembic_command import alembic
from tests.support.audit import MISCOUNTED, audit
from tests.support.client import Api, error_of
from tests.support.databases import Sql, execute, settings_for, table_names, transaction
from tests.support.load import Callers
from tests.support.waiting import wait_until

TABLE_NAMES = {"tasks", "task_history", "counts", "counted", "late_entries", "task_count_changes"}
TABLES = ", ".join(f"'{name}'::regclass" for name in TABLE_NAMES)
DEFINITIONS = {
    "columns": "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull"
    f" FROM pg_attribute WHERE attrelid IN ({TABLES}) AND attnum > 0 ORDER BY 1, attnum",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
    f" FROM pg_constraint WHERE conrelid IN ({TABLES}) AND contype <> 'n' ORDER BY 1, 2",
    "indexes": f"SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
    f" WHERE indrelid IN ({TABLES}) AND indexrelid::regclass::text NOT IN {tuple(INDEXES)} ORDER BY 1",
}
OWN_FUNCTIONS = """
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
"""


def test_upgrade_makes_the_schema_and_downgrade_removes_it_all(empty_database: Callable[[], URL]) -> None:
    url = empty_database()

    assert alembic(url, "upgrade", "head").returncode == 0
    assert table_names(url) == {*TABLE_NAMES, "alembic_version"}

    assert alembic(url, "downgrade", "base").returncode == 0
    assert table_names(url) == {"alembic_version"}
    assert execute(url, OWN_FUNCTIONS) == []

    assert alembic(url, "upgrade", "head").returncode == 0


def test_a_migration_that_fails_leaves_the_schema_as_it_was(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    execute(url, "CREATE TABLE task_history ()")

    assert alembic(url, "upgrade", "head").returncode != 0

    assert table_names(url) == {"task_history"}


def test_the_migrations_can_be_written_out_as_sql(database_url: URL) -> None:
    written = alembic(database_url, "upgrade", "head", "--sql")
    assert written.returncode == 0, written.stderr
    assert "CREATE TABLE tasks" in written.stdout


def test_alembic_sees_no_difference_between_models_and_schema(database_url: URL) -> None:
    assert src.models.Task.metadata is Base.metadata
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
        assert {(kind, index.name) for kind, index in differences} == {("remove_index", name) for name in INDEXES}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_the_models_make_the_same_definitions_as_the_migrations(
    sql: Sql, empty_database: Callable[[], URL], kind: str
) -> None:
    from_models = empty_database()
    Base.metadata.create_all(create_engine(from_models, poolclass=NullPool))

    migrated = sql(DEFINITIONS[kind])
    assert migrated
    assert migrated == execute(from_models, DEFINITIONS[kind])


def lock(*tables: str, mode: str = "ROW EXCLUSIVE") -> str:
    """Return SQL that locks the tables one after the other, as a writer does."""
    return "; ".join(f"LOCK TABLE {table} IN {mode} MODE" for table in tables)


def waits_for(sql: Sql, table: str, mode: str) -> bool:
    """Tell whether a session waits for a lock of `mode` on `table`."""
    waiting = "SELECT FROM pg_locks WHERE relation = cast(:table AS regclass) AND mode = :mode AND NOT granted"
    return sql(waiting, table=table, mode=f"{mode}Lock") != []


# The statements of the version before revision 0005, of which each older schema knows every column, too.
OF_OLDER_VERSION = [
    f"""
    WITH changed AS ({change}), logged AS (
        INSERT INTO task_history (history_id, task_id, action_type, description, timestamp)
        SELECT gen_random_uuid(), id, '{action}', 'By an older version', updated_at FROM changed
    )
    SELECT * FROM changed
    """
    for action, change in {
        "CREATED": "INSERT INTO tasks VALUES (:id, 'x', NULL, false, now(), now(), NULL) RETURNING *",
        "UPDATED": "UPDATE tasks SET title = 'y', updated_at = clock_timestamp() WHERE id = :id RETURNING *",
        "DELETED": "DELETE FROM tasks WHERE id = :id RETURNING id, clock_timestamp() AS updated_at",
    }.items()
]


class OlderVersion(Callers):
    """Writers of a version that knows nothing of the columns of revision 0005."""

    def __init__(self, url: URL) -> None:
        super().__init__("", 4, self._write)
        self.changes = 0
        self._url = url

    def _write(self, number: int) -> None:
        # The pause leaves the processor to the migration.
        while not self._stop.wait(0.1):
            task_id = uuid4()
            for statement in OF_OLDER_VERSION:
                try:
                    assert execute(self._url, statement, id=task_id)
                except DBAPIError as error:
                    self.errors.append(str(error))
                self.changes += 1

    def wait_for_changes(self, count: int) -> None:
        enough = self.changes + count
        wait_until(lambda: self.changes >= enough)


def test_the_schema_goes_down_and_up_while_an_older_version_changes_tasks(database_url: URL) -> None:
    with OlderVersion(database_url) as writers:
        for revision in ("0005", "head", "0004", "head", "0002", "head", "0001", "head"):
            writers.wait_for_changes(20)
            migrated = alembic(database_url, "upgrade" if revision == "head" else "downgrade", revision)
            assert migrated.returncode == 0, migrated.stderr
        writers.wait_for_changes(20)
    assert writers.errors == []
    assert not any(audit(database_url, []))


# The functions and the view, as the database has them.
PROGRAMS = f"{OWN_FUNCTIONS} UNION ALL SELECT pg_get_viewdef('count_changes'::regclass) ORDER BY 1"


def test_a_downgrade_brings_the_functions_of_revision_0005_back(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    assert alembic(url, "upgrade", "0005").returncode == 0
    queries = (PROGRAMS, DEFINITIONS["constraints"], DEFINITIONS["indexes"])
    before = [execute(url, query) for query in queries]
    assert alembic(url, "upgrade", "head").returncode == 0
    assert execute(url, PROGRAMS) != before[0]

    assert alembic(url, "downgrade", "0005").returncode == 0

    assert [execute(url, query) for query in queries] == before


# How a version before revision 0006 reads and folds the counts.
READ_OF_OLDER_VERSION = """
    SELECT kind, CAST(sum(count) AS bigint) FROM (
        SELECT kind, count FROM counts WHERE day IS NULL UNION ALL SELECT kind, change FROM count_changes
    ) AS part GROUP BY kind ORDER BY kind
"""


def test_an_older_version_counts_on_through_an_upgrade(database_url: URL, sql: Sql) -> None:
    def write_and_read() -> list[Row[Any]]:
        for statement in OF_OLDER_VERSION[:2]:
            execute(database_url, statement, id=uuid4())
        return list(sql(READ_OF_OLDER_VERSION))

    assert alembic(database_url, "downgrade", "0005").returncode == 0
    assert write_and_read() == [("CREATED", 1), ("task created", 1)]
    assert alembic(database_url, "upgrade", "head").returncode == 0
    assert write_and_read() == [("CREATED", 2), ("task created", 2)]
    sql("SELECT fold_counts()")
    assert write_and_read() == [("CREATED", 3), ("task created", 3)]
    assert sql(MISCOUNTED) == []


def test_an_upgrade_keeps_the_entries_of_an_older_version_which_cannot_be_undone(api: Api, database_url: URL) -> None:
    assert alembic(database_url, "downgrade", "0004").returncode == 0
    task_id = uuid4()
    for statement in OF_OLDER_VERSION:
        execute(database_url, statement, id=task_id)
    before = execute(database_url, "SELECT * FROM task_history ORDER BY timestamp")
    assert alembic(database_url, "upgrade", "head").returncode == 0

    after = execute(database_url, "SELECT * FROM task_history ORDER BY timestamp")

    assert [tuple(entry) for entry in after] == [(*entry, None, None, None, None) for entry in before]
    for entry in before:
        refused = api.post(f"/history/{entry.history_id}/undo")
        assert error_of(refused, 409) == "This entry is too old to be undone"


def test_a_downgrade_keeps_the_entries(api: Api, database_url: URL) -> None:
    task_id = api.create_task()["id"]
    api.delete_task(task_id)
    assert alembic(database_url, "downgrade", "0004").returncode == 0
    assert error_of(api.get("/history"), 503)
    assert alembic(database_url, "upgrade", "head").returncode == 0
    assert [item["action_type"] for item in api.history()["items"]] == ["DELETED", "CREATED"]


def migrate_into_a_deadlock(url: URL, sql: Sql, *migration: str) -> None:
    writer, other = ExitStack(), ExitStack()
    with ThreadPoolExecutor(2) as threads, writer, other:
        connection = writer.enter_context(create_engine(url, poolclass=NullPool).begin())
        connection.execute(text(lock("task_history")))
        other.enter_context(transaction(url, lock("tasks")))
        migrating = threads.submit(alembic, url, *migration)
        wait_until(lambda: waits_for(sql, "tasks", "AccessExclusive"))
        writing = threads.submit(connection.execute, text(lock("tasks")))
        # On a slow machine, the migration may have given up for a moment, and the writer has its lock.
        wait_until(lambda: waits_for(sql, "tasks", "RowExclusive") or writing.done())
        # The migration now gets `tasks`, and waits for `task_history`: a deadlock.
        other.close()
        writing.result()
        writer.close()
        assert migrating.result().returncode == 0, migrating.result().stderr


@pytest.mark.parametrize("revision", ["0002", "0001"])
def test_a_migration_that_deadlocks_with_a_writer_gives_way(database_url: URL, sql: Sql, revision: str) -> None:
    migrate_into_a_deadlock(database_url, sql, "downgrade", revision)
    migrate_into_a_deadlock(database_url, sql, "upgrade", "head")


def test_a_migration_that_gives_up_names_the_table_in_use_and_changes_nothing(database_url: URL, sql: Sql) -> None:
    assert alembic(database_url, "downgrade", "0002").returncode == 0
    before = sql(DEFINITIONS["columns"].replace(TABLES, "'counts'::regclass"))
    with transaction(database_url, lock("counts", mode="ACCESS SHARE")):
        sentence = "The table counts is in use; nothing was migrated within 1 s."
        with pytest.raises(ConfigurationError, match=f"^{re.escape(sentence)}$"):
            prepare_schema(settings_for(database_url, start_timeout_s=1))
        by_hand = alembic(database_url, "upgrade", "head", START_TIMEOUT_S="1")
        assert by_hand.returncode != 0
        assert by_hand.stdout.splitlines() == [f"FAILED: {sentence}"]
        assert by_hand.stderr == "The table counts is in use; the migration waits for 1 s at most\n"
    assert sql(DEFINITIONS["columns"].replace(TABLES, "'counts'::regclass")) == before
    prepare_schema(settings_for(database_url))


@pytest.mark.parametrize("arguments", [("check",), ("current",), ("upgrade", "head")])
def test_a_command_that_changes_nothing_waits_for_no_lock(database_url: URL, arguments: tuple[str, ...]) -> None:
    with transaction(database_url, lock(*TABLE_NAMES)):
        done = alembic(database_url, *arguments, START_TIMEOUT_S="0")
    assert done.returncode == 0, done.stderr


def test_the_tables_of_others_are_left_alone(database_url: URL, sql: Sql) -> None:
    sql("CREATE TABLE theirs (); CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.tasks ()")
    with transaction(database_url, lock("theirs", "elsewhere.tasks")):
        for arguments in (("downgrade", "0002"), ("upgrade", "head")):
            assert alembic(database_url, *arguments, START_TIMEOUT_S="0").returncode == 0
