"""The maintained counts equal `count(*)` at every moment, whoever writes."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from psycopg2.extras import NamedTupleCursor
from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from src.database.statement import Statement
from src.models import ActionType
from src.services.history_page import page_of_history
from src.services.period_counts import COUNTS_OF_ROWS, DAILY_COUNTS, WEEKLY_COUNTS
from src.utils.calendar_days import bounds_of_each, quarters, week_of
from tests.support.alembic_command import alembic
from tests.support.audit import MISCOUNTED
from tests.support.client import Api
from tests.support.databases import AS_REPLICA, Sql, execute, transaction
from tests.support.waiting import wait_until

ENTRIES = (
    f"{AS_REPLICA}INSERT INTO task_history SELECT gen_random_uuid(), gen_random_uuid(), :action, 'x', :at"
    " FROM generate_series(1, :number)"
)
SOME_TASKS = "id IN (SELECT id FROM tasks ORDER BY random() LIMIT :number)"
MERGE = (
    "MERGE INTO tasks USING (SELECT gen_random_uuid() AS id) AS other ON tasks.id = other.id"
    " WHEN NOT MATCHED THEN INSERT VALUES (other.id, 'x', NULL, false, :at, :at, NULL)"
)
WRITES = [
    ENTRIES,
    f"{AS_REPLICA}INSERT INTO task_history VALUES (gen_random_uuid(), gen_random_uuid(), :action, 'x', now())",
    f"{AS_REPLICA}INSERT INTO task_history TABLE task_history LIMIT :number ON CONFLICT DO NOTHING",
    "INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, false, :at, :at, NULL FROM generate_series(1, :number)",
    "INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, true, :at, :at, :at FROM generate_series(1, :number)",
    f"UPDATE tasks SET is_completed = true, completed_at = :at WHERE {SOME_TASKS}",
    f"UPDATE tasks SET is_completed = false, completed_at = NULL WHERE {SOME_TASKS}",
    f"UPDATE tasks SET created_at = :at WHERE {SOME_TASKS}",
    f"UPDATE tasks SET title = title || '!' WHERE char_length(title) < 200 AND {SOME_TASKS}",
    f"DELETE FROM tasks WHERE {SOME_TASKS}",
    MERGE,
]


def any_moment(chance: random.Random) -> datetime:
    """Return a time within the last ten days, or sometimes the first or last moment that is allowed."""
    extremes = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    recent = datetime.now(UTC) - timedelta(seconds=chance.randrange(10 * 86_400))
    return chance.choice([*extremes, recent, recent, recent])


def write(url: URL, seed: int, stop: threading.Event, failures: list[Exception]) -> None:
    """Write in transactions of one to three statements; roll back some of the statements and transactions."""
    chance = random.Random(seed)  # noqa: S311
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        while not stop.is_set():
            try:
                with connection.begin() as transaction:
                    for _ in range(chance.randrange(1, 4)):
                        part = connection.begin_nested()
                        parameters = {
                            "action": chance.choice(list(ActionType)),
                            "at": any_moment(chance),
                            "number": chance.choice([1, 1, 1, 50]),
                        }
                        connection.execute(text(chance.choice(WRITES)), parameters)
                        if chance.random() < 0.1:
                            part.rollback()
                    if chance.random() < 0.1:
                        transaction.rollback()
            except Exception as error:  # noqa: BLE001  # The test reports any error but a deadlock.
                if "deadlock detected" not in str(error):
                    failures.append(error)


def fold(url: URL, stop: threading.Event, folds: list[None]) -> None:
    """Fold again and again; several services do so on the same database."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="READ COMMITTED")
    while not stop.is_set():
        # On a busy machine, or in a deadlock, a transaction may stay open for longer than a fold waits.
        with suppress(OperationalError), engine.begin() as connection:
            connection.execute(text("SELECT fold_counts()"))
            folds.append(None)


def what_the_service_counts(connection: Connection, now: datetime) -> tuple[list[Any], list[Any]]:
    """Return the counts of the service's statements and of `count(*)`, in the snapshot of `connection`."""

    def row(statement: Statement, **parameters: Any) -> Any:
        cursor = connection.connection.cursor(cursor_factory=NamedTupleCursor)
        cursor.execute(statement.sql, parameters)
        return cursor.fetchone()

    monday, sunday = week_of(now.date())
    bounds = {"start_day": monday, "start_quarter": 0, "end_day": sunday + timedelta(days=1), "end_quarter": 0}
    week = row(WEEKLY_COUNTS, **bounds)
    counted = [week.created, week.completed, week.all_completed, week.all_tasks]
    counted.append(row(page_of_history((), 0, None), offset=0, limit=1).total_count)
    counted += [
        row(page_of_history(("action_type",), 0, None), offset=0, limit=1, action_type=action).total_count
        for action in ActionType
    ]
    there = connection.execute(
        text(
            "SELECT count(*) FILTER (WHERE created_at >= :monday AND created_at < :next_monday),"
            " count(*) FILTER (WHERE completed_at >= :monday AND completed_at < :next_monday),"
            " count(*) FILTER (WHERE is_completed), count(*), (SELECT count(*) FROM task_history) FROM tasks"
        ),
        {
            "monday": datetime.combine(monday, time(), UTC),
            "next_monday": datetime.combine(sunday, time(), UTC) + timedelta(days=1),
        },
    ).one()
    by_action = [
        connection.scalar(text("SELECT count(*) FROM task_history WHERE action_type = :action"), {"action": action})
        for action in ActionType
    ]
    return counted, [*there, *by_action]


def days_by_counts_and_by_rows(connection: Connection, now: datetime) -> list[list[Any]]:
    """Return the counts of some days of Kathmandu, maintained and of rows, in the snapshot of `connection`."""
    cursor = connection.connection.cursor(cursor_factory=NamedTupleCursor)
    moments = bounds_of_each(now.date() - timedelta(days=11), now.date(), ZoneInfo("Asia/Kathmandu"))
    days, numbers = zip(*quarters(moments) or [], strict=True)
    period = {"start_day": days[:-1], "start_quarter": numbers[:-1], "end_day": days[1:], "end_quarter": numbers[1:]}
    counts = []
    for statement, bounds in (
        (DAILY_COUNTS, {name: list(values) for name, values in period.items()}),
        (COUNTS_OF_ROWS, {"moments": moments}),
    ):
        cursor.execute(statement.sql, bounds)
        counts.append([(day.created, day.completed, day.changes) for day in cursor.fetchall()])
    return counts


@contextmanager
def storm(url: URL, failures: list[Exception], folds: list[None]) -> Iterator[Callable[[], bool]]:
    """Write and fold on eight threads until the block ends; yield whether all of them still run."""
    stop = threading.Event()
    threads = [threading.Thread(target=write, args=(url, seed, stop, failures)) for seed in range(6)]
    threads += [threading.Thread(target=fold, args=(url, stop, folds)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: all(thread.is_alive() for thread in threads)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "REPEATABLE READ"])
def test_the_counts_are_exact_at_every_moment_of_a_storm(database_url: URL, sql: Sql, isolation_level: str) -> None:
    [(name,)] = sql("SELECT current_database()")
    sql(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation_level.lower()}'")
    failures: list[Exception] = []
    folds: list[None] = []
    snapshots = create_engine(database_url, poolclass=NullPool, isolation_level="REPEATABLE READ")
    with storm(database_url, failures, folds) as goes_on:
        # Folds are the most delicate part, so they decide how long this takes.
        while len(folds) < 100 and goes_on():
            with snapshots.connect() as connection:
                assert connection.execute(text(MISCOUNTED)).all() == []
                counted, there = what_the_service_counts(connection, datetime.now(UTC))
                assert counted == there
                by_counts, by_rows = days_by_counts_and_by_rows(connection, datetime.now(UTC))
                assert by_counts == by_rows

    assert len(folds) >= 100
    if isolation_level == "READ COMMITTED":
        assert failures == []
    assert sql(MISCOUNTED) == []
    with snapshots.connect() as connection:
        connection.execution_options(isolation_level="READ COMMITTED").execute(text("SELECT fold_counts()"))
        connection.commit()
    # Only the changes of future days are left to fold.
    assert sql("SELECT FROM count_changes WHERE kind NOT LIKE 'task %' AND day <= now()") == []
    assert sql("SELECT FROM task_count_changes") == sql("SELECT FROM late_entries WHERE timestamp < now()") == []
    assert sql(MISCOUNTED) == []


def test_the_migration_counts_the_rows_that_exist(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    assert alembic(url, "upgrade", "0001").returncode == 0
    chance = random.Random(1)  # noqa: S311
    for _ in range(200):
        statement = chance.choice(WRITES)
        execute(url, statement, action="UPDATED", at=any_moment(chance), number=3)

    assert alembic(url, "upgrade", "head").returncode == 0

    assert execute(url, "SELECT FROM counts") != []
    assert execute(url, MISCOUNTED) == []


def test_a_truncation_resets_the_counts_of_tasks(api: Api, sql: Sql) -> None:
    api.complete_task(api.create_task()["id"])
    api.create_task()
    sql("TRUNCATE tasks")
    assert sql(MISCOUNTED) == []
    assert api.stats()["total_tasks"] == 0
    api.create_task()
    assert api.stats()["total_tasks"] == 1


def test_a_truncation_whose_snapshot_may_be_too_old_is_refused(sql: Sql) -> None:
    with pytest.raises(Exception, match="needs the isolation level READ COMMITTED"):
        sql("BEGIN ISOLATION LEVEL REPEATABLE READ; TRUNCATE tasks; COMMIT")


def test_a_recount_repairs_the_counts_of_rows_that_bypassed_the_triggers(api: Api, sql: Sql) -> None:
    api.create_task()
    sql(
        "ALTER TABLE tasks DISABLE TRIGGER count_change; INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, false,"
        " now(), now(); ALTER TABLE tasks ENABLE ALWAYS TRIGGER count_change"
    )
    assert sql(MISCOUNTED) != []

    sql("SELECT recount()")

    assert sql(MISCOUNTED) == []
    assert api.stats()["total_tasks"] == 2


def test_reading_the_counts_folds_them(api: Api, sql: Sql) -> None:
    sql(ENTRIES, action="CREATED", at=datetime.now(UTC), number=1000)
    assert sql("SELECT count(*) FROM count_changes") == [(1000,)]
    for read in (api.history, api.stats):
        read()
    wait_until(lambda: sql("SELECT count(*) FROM count_changes") == [(0,)])
    assert api.history()["pagination"]["total_count"] == 1000

    sql("INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, false, now(), now() FROM generate_series(1, 1000)")

    def is_folded() -> bool:
        # The next fold starts only a moment after the last one.
        assert api.stats()["total_tasks"] == 1000
        return sql("SELECT count(*) FROM task_count_changes") == [(0,)]

    wait_until(is_folded)
    assert api.stats()["total_tasks"] == 1000


def test_a_fold_gives_up_on_an_open_transaction_and_blocks_nobody(api: Api, database_url: URL, sql: Sql) -> None:
    entry = f"{AS_REPLICA}INSERT INTO task_history VALUES (gen_random_uuid(), gen_random_uuid(), 'CREATED', 'x', now())"
    task = "INSERT INTO tasks VALUES (gen_random_uuid(), 'x', NULL, false, now(), now(), NULL)"
    with transaction(database_url, f"{entry}; {task}"):
        with pytest.raises(Exception, match="a transaction that wrote tasks stays open"):
            sql("SELECT fold_counts()")
        api.create_task()
        assert api.history()["pagination"]["total_count"] == 1
        assert sql(MISCOUNTED) == []
    sql("SELECT fold_counts()")
    assert sql("SELECT FROM count_changes") == []
    assert api.history()["pagination"]["total_count"] == 2
    assert sql(MISCOUNTED) == []


def test_an_entry_older_than_the_last_fold_is_counted(sql: Sql) -> None:
    sql("SELECT fold_counts()")
    for _ in range(2):
        sql(ENTRIES, action="UPDATED", at=datetime.now(UTC) - timedelta(hours=1), number=3)
        assert sql("SELECT count(*) FROM late_entries") == [(3,)]
        assert sql(MISCOUNTED) == []
        sql("SELECT fold_counts()")
        assert sql("SELECT count(*) FROM late_entries") == [(0,)]
        assert sql(MISCOUNTED) == []


def test_the_counts_stay_exact_when_the_clock_is_set_back(api: Api, sql: Sql) -> None:
    # After the clock is set back, the last fold lies in the future.
    sql(f"SELECT setval('late_before', {2**52})")
    sql("UPDATE counted SET entries_until = timestamptz 'epoch' + 2 ^ 52 * interval '1 microsecond'")
    api.complete_task(api.create_task()["id"])
    assert api.history()["pagination"]["total_count"] == 2
    assert sql(MISCOUNTED) == []
    sql("SELECT fold_counts()")
    assert sql(MISCOUNTED) == []
    assert api.history()["pagination"]["total_count"] == 2


def test_temporary_tables_of_the_same_names_change_no_count(sql: Sql) -> None:
    names = ("counts", "counted", "late_entries", "task_count_changes", "tasks", "task_history")
    temporary = "".join(f"CREATE TEMPORARY TABLE {name} (LIKE public.{name}); " for name in names)
    sql(
        AS_REPLICA + temporary + "INSERT INTO public.tasks SELECT gen_random_uuid(), 'x', NULL, false, now(), now();"
        " INSERT INTO public.task_history SELECT gen_random_uuid(), gen_random_uuid(), 'CREATED', 'x', '2020-01-01';"
        " SELECT fold_counts()"
    )
    assert sql(MISCOUNTED) == []
    assert sql("SELECT sum(count) FROM counts WHERE day IS NULL") == [(2,)]


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_no_role_of_the_session_leaves_anything_uncounted(sql: Sql, role: str) -> None:
    insert = "INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, false, now(), now()"
    sql(f"SET session_replication_role = {role}; {insert}")
    assert sql(MISCOUNTED) == []
    assert sql("SELECT FROM count_changes") != []


def test_times_that_json_cannot_express_are_refused(sql: Sql) -> None:
    for moment in ("0001-12-31 BC", "10000-01-01", "infinity", "-infinity"):
        with pytest.raises(Exception, match="ck_task_history_timestamp_year"):
            sql(ENTRIES, action="CREATED", at=moment, number=1)
        with pytest.raises(Exception, match="ck_tasks_created_at_year"):
            sql("INSERT INTO tasks VALUES (gen_random_uuid(), 'x', NULL, false, :at, now(), NULL)", at=moment)
