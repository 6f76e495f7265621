"""The indexes for searches: built after the migrations, by one process, and not needed for an answer."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import URL

from src.database import search_indexes
from src.database.migrate import prepare_schema
from src.database.search_indexes import ADVISORY_LOCK, INDEXES, build_search_indexes
from tests.support.alembic_command import alembic
from tests.support.client import Api
from tests.support.databases import Sql, environment_of, execute, settings_for, transaction
from tests.support.service import MAIN, running
from tests.support.waiting import wait_until

VALID = "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indisvalid AND indexrelid = ANY (ARRAY[{}])"


def valid_indexes(url: URL) -> set[str]:
    names = ", ".join(f"to_regclass('{name}')" for name in INDEXES)
    return {row.name for row in execute(url, VALID.format(names))}


def test_a_start_builds_them_while_it_serves(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    with running(MAIN, DATABASE_URL=environment_of(url)):
        wait_until(lambda: valid_indexes(url) == set(INDEXES))


def test_a_start_that_may_not_migrate_builds_nothing(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    prepare_schema(settings_for(url))
    with running(MAIN, DATABASE_URL=environment_of(url), AUTO_MIGRATE="false") as (_, api):
        assert [task["title"] for task in found(api, "buy")] == []
    assert valid_indexes(url) == set()


def test_alembic_builds_them_after_an_upgrade_to_the_latest_revision(empty_database: Callable[[], URL]) -> None:
    url = empty_database()
    assert alembic(url, "upgrade", "head-1").returncode == 0
    assert valid_indexes(url) == set()
    assert alembic(url, "upgrade", "head").returncode == 0
    assert valid_indexes(url) == set(INDEXES)


def test_an_interrupted_build_is_made_again(database_url: URL, sql: Sql) -> None:
    sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_tasks_text'::regclass")
    [interrupted] = sql("SELECT 'ix_tasks_text'::regclass::oid AS oid")

    build_search_indexes(settings_for(database_url))

    assert valid_indexes(database_url) == set(INDEXES)
    assert sql("SELECT 'ix_tasks_text'::regclass::oid AS oid") != [interrupted]


def test_a_limit_on_statements_does_not_stop_a_build(database_url: URL, sql: Sql) -> None:
    sql("DROP INDEX ix_tasks_text")
    sql(f"ALTER DATABASE {database_url.database} SET statement_timeout = '2s'")
    beyond_the_limit = (
        "SELECT FROM pg_stat_activity"
        " WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND clock_timestamp() - query_start > interval '2.5 seconds'"
    )
    with ThreadPoolExecutor(1) as thread:
        with transaction(database_url, "LOCK TABLE tasks IN ROW EXCLUSIVE MODE"):
            build = thread.submit(build_search_indexes, settings_for(database_url))
            wait_until(lambda: sql(beyond_the_limit) != [])
        build.result()
    assert valid_indexes(database_url) == set(INDEXES)


def test_a_build_that_fails_leaves_nothing(database_url: URL, sql: Sql, caplog: pytest.LogCaptureFixture) -> None:
    sql("DROP INDEX ix_tasks_text")
    with ThreadPoolExecutor(1) as thread:
        with transaction(database_url, "LOCK TABLE tasks IN ROW EXCLUSIVE MODE"):
            build = thread.submit(build_search_indexes, settings_for(database_url))
            wait_until(lambda: sql("SELECT to_regclass('ix_tasks_text') AS name")[0].name is not None)
            sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'")
        build.result()

    assert sql("SELECT to_regclass('ix_tasks_text') AS name") == [(None,)]
    assert "The indexes for searches were not built: canceling statement due to user request" in caplog.messages


def test_the_planner_knows_how_often_words_occur(database_url: URL, sql: Sql) -> None:
    sql("DROP INDEX ix_tasks_text")
    build_search_indexes(settings_for(database_url))
    sql("INSERT INTO tasks SELECT gen_random_uuid(), 'Buy milk', NULL, false, now(), now(), NULL")
    assert sql("SELECT FROM pg_stats WHERE tablename = 'ix_tasks_text'") == []

    sql("DROP INDEX ix_tasks_text")
    build_search_indexes(settings_for(database_url))
    assert len(sql("SELECT FROM pg_stats WHERE tablename = 'ix_tasks_text'")) == 1


def test_one_process_builds_at_a_time(database_url: URL, sql: Sql) -> None:
    sql("DROP INDEX ix_tasks_text")
    with transaction(database_url, f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"):
        build_search_indexes(settings_for(database_url))
        assert valid_indexes(database_url) == {"ix_task_history_text"}

    build_search_indexes(settings_for(database_url))
    assert valid_indexes(database_url) == set(INDEXES)


def test_a_server_that_refuses_the_extension_searches_without(
    server_url: URL, empty_database: Callable[[], URL], caplog: pytest.LogCaptureFixture
) -> None:
    superuser = empty_database()
    role = f"{superuser.database}_role"
    execute(superuser, f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}")
    url = superuser.set(username=role)
    prepare_schema(settings_for(url))
    caplog.set_level(logging.INFO, search_indexes.__name__)

    build_search_indexes(settings_for(url))

    reason = 'permission denied to create extension "pg_trgm"'
    assert caplog.messages == [f"Searches read every row, because the database has no extension pg_trgm: {reason}"]
    with running(MAIN, DATABASE_URL=environment_of(url)) as (_, api):
        api.create_task("Buy milk")
        api.create_task("Buy bread")
        assert [task["title"] for task in found(api, "MILK buy")] == ["Buy milk"]
        assert [entry["task_title"] for entry in api.history(q="bread")["items"]] == ["Buy bread"]
    assert valid_indexes(url) == set()
    execute(server_url, f"DROP DATABASE {url.database} WITH (FORCE)")
    execute(server_url, f"DROP ROLE {role}")


def found(api: Api, query: str) -> list[dict[str, str]]:
    tasks: list[dict[str, str]] = api.get("/tasks", params={"q": query}).json()["data"]
    return tasks
