"""What each database role may do to the history, and which entries the database refuses."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import pytest
from psycopg2.errors import RestrictViolation
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from src.database.migrate import prepare_schema
from tests.support.audit import MISCOUNTED
from tests.support.client import Api, Json, data_of
from tests.support.databases import AS_REPLICA, Sql, environment_of, execute, settings_for
from tests.support.docs import ROOT, blocks_of
from tests.support.service import MAIN, running

BACKDATED = (
    "INSERT INTO task_history SELECT gen_random_uuid(), task_id, 'UPDATED', 'x', now() - interval '61 minutes'"
    " FROM task_history LIMIT 1"
)
# Statements, with what stops the application's role and the owner; None: the owner may.
ATTEMPTS = {
    "UPDATE task_history SET description = 'x'": ("permission denied", "append-only"),
    "DELETE FROM task_history": ("permission denied", "append-only"),
    "TRUNCATE task_history": ("permission denied", "append-only"),
    "ALTER TABLE task_history DISABLE TRIGGER refuse_change": ("must be owner", None),
    "DROP TABLE task_history": ("must be owner", None),
    BACKDATED: ("more than an hour ago", "more than an hour ago"),
    "SET session_replication_role = replica": ("permission denied", "permission denied"),
}


class Roles(NamedTuple):
    """One database, by its two roles."""

    owner: URL
    application: URL


@pytest.fixture
def roles(server_url: URL, empty_database: Callable[[], URL]) -> Iterator[Roles]:
    """A migrated database with the roles of docs/security.md, under names of the test's own."""
    url = empty_database()
    name = str(url.database)
    roles = Roles(owner=url.set(username=f"{name}_owner"), application=url.set(username=f"{name}_app"))
    [roles_sql] = [block.code for block in blocks_of(ROOT / "docs/security.md") if block.language == "sql"]
    set_up, grants = [
        sql.replace("tasks_owner", f"{name}_owner")
        .replace("tasks_app", f"{name}_app")
        .replace("CREATE DATABASE tasks OWNER", f"ALTER DATABASE {name} OWNER TO")
        for sql in (roles_sql, (ROOT / "deploy/grants.sql").read_text())
    ]
    execute(url, set_up)
    prepare_schema(settings_for(roles.owner))
    execute(roles.owner, grants)
    yield roles
    # A role can only be dropped after the database in which it owns tables.
    execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
    for role in roles:
        execute(server_url, f"DROP ROLE {role.username}")


def test_the_two_roles_of_the_docs_protect_the_history_from_the_service_itself(roles: Roles) -> None:
    """The owner migrates. The application's role reads and writes tasks, and has no right to change the history."""
    with running(MAIN, DATABASE_URL=environment_of(roles.application), AUTO_MIGRATE="false") as (_, api):
        with api.stream("GET", "/events") as events:
            live_a_whole_life(api)
            changes = (line for line in events.iter_lines() if line == "event: change")
            assert len(list(islice(changes, 10))) == 10
        assert data_of(api.get("/health/ready")) == {"status": "ready"}
    for statement, (refused_application, refused_owner) in ATTEMPTS.items():
        with pytest.raises(DBAPIError, match=refused_application):
            execute(roles.application, statement)
        if refused_owner is not None:
            with pytest.raises(DBAPIError, match=refused_owner):
                execute(roles.owner, statement)
    assert len(execute(roles.owner, "SELECT FROM task_history")) == 10


def live_a_whole_life(api: Api) -> None:
    task: Json = api.create_task()
    api.update_task(task["id"], title="Other")
    api.complete_task(task["id"])
    api.reopen_task(task["id"])
    api.list_tasks()
    api.stats()
    api.delete_task(task["id"])
    entries = api.history_of(task["id"])
    assert len(entries) == 5
    for entry in reversed(entries):
        api.undo(entry)
        assert api.entry(entry["history_id"])["undone_by"] is not None


def test_a_backdated_entry_is_refused_to_a_superuser_too(api: Api, sql: Sql) -> None:
    api.create_task()
    before = api.history()

    with pytest.raises(DBAPIError, match="task_history takes no entry of more than an hour ago") as refused:
        sql(BACKDATED)

    assert isinstance(refused.value.orig, RestrictViolation)
    assert api.history() == before


def test_entries_of_the_last_hour_and_of_the_future_are_accepted(api: Api, sql: Sql) -> None:
    task = api.create_task()
    entry = (
        "INSERT INTO task_history VALUES (gen_random_uuid(), :task_id, 'UPDATED', 'x', now() + cast(:age AS interval))"
    )
    for age in ("-59 minutes", "1 year"):
        sql(entry, task_id=task["id"], age=age)
    api.delete_task(task["id"])
    sql(entry, task_id=task["id"], age="2 years")
    assert len(api.history_of(task["id"])) == 5
    assert sql(MISCOUNTED) == []


def test_a_restore_as_a_replica_may_insert_any_entry_and_all_are_counted(api: Api, sql: Sql) -> None:
    api.create_task()
    sql(AS_REPLICA + BACKDATED)
    assert api.history()["pagination"]["total_count"] == 2
    assert sql("SELECT FROM late_entries") != []
    assert sql(MISCOUNTED) == []
