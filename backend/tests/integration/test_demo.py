"""`make demo`: a week of tasks, once, and the three weeks before in an embedded database that has nothing yet."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from config import BACKEND, Settings
from demo_weeks import NotWritten, write_earlier_weeks
from src.database.migrate import prepare_schema
from src.embedded_postgres.data_directory import url_of_running_server
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from src.models.task_history import ActionType
from tests.support.audit import audit
from tests.support.client import Api, Json, data_of
from tests.support.clusters import cluster_dir
from tests.support.databases import environment_of, execute, settings_for
from tests.support.service import MAIN, Service, running

DEMO = [sys.executable, "demo.py"]
KEY = "a-key-of-the-demo"
HAS_EARLIER_WEEKS = "This week, and the three weeks before."

A_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# Only the demo's SQL can write entries of more than an hour ago.
OLD_ENTRIES = "SELECT history_id FROM task_history WHERE timestamp < now() - interval '1 day' ORDER BY 1"
LOG_OF_TASKS = """
    SELECT task_id::text, json_agg(json_build_array(action_type, description, task_title, changes::text, undoes)
        ORDER BY timestamp) AS entries
    FROM task_history GROUP BY 1 ORDER BY min(timestamp)
"""


def run_demo(service: Service, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run the demo against `service`; return its exit status and what it printed."""
    given = {"PORT": str(service.port), "API_KEY": KEY, "TZ": "UTC", **environment}
    demo = Service([*DEMO, *arguments], BACKEND, **given)
    return demo.wait(), demo.output


@pytest.fixture
def guarded(database_url: URL) -> Iterator[tuple[Service, Api]]:
    """A service that asks for a key, and a client that has one."""
    with running(MAIN, DATABASE_URL=environment_of(database_url), API_KEY=KEY) as (service, api):
        api.headers["Authorization"] = f"Bearer {KEY}"
        yield service, api


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """The data directory of an embedded PostgreSQL, for the demo and whoever runs it."""
    with cluster_dir() as directory:
        yield directory


@pytest.fixture
def embedded(data_dir: Path) -> Iterator[tuple[Service, Api]]:
    """A service with an embedded PostgreSQL, without any tasks."""
    with running(MAIN, DATA_DIR=str(data_dir)) as started:
        yield started


@pytest.fixture
def filled(embedded: tuple[Service, Api], data_dir: Path) -> Api:
    """A service with an embedded PostgreSQL, after `make demo`."""
    service, api = embedded
    status, output = run_demo(service, DATA_DIR=str(data_dir))
    assert status == 0, output
    assert HAS_EARLIER_WEEKS in output
    return api


@pytest.fixture
def empty_server(data_dir: Path) -> Iterator[URL]:
    """An embedded PostgreSQL with the schema and no data."""
    with EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        prepare_schema(settings_for(postgres.url))
        yield postgres.url


def mondays_of(url: URL) -> list[date]:
    """Return the first day of each of the three weeks that the oldest entry begins."""
    [[first]] = execute(url, "SELECT date_trunc('week', min(timestamp), 'UTC')::date FROM task_history")
    return [first + timedelta(weeks=weeks) for weeks in range(3)]


def test_the_demo_fills_the_service_once_and_again_on_request(guarded: tuple[Service, Api]) -> None:
    service, api = guarded
    status, output = run_demo(service)
    assert status == 0, output
    stats = api.stats()
    assert 10 < stats["total_completed"] < stats["total_tasks"]
    assert stats["tasks_created_this_week"] == stats["total_tasks"]
    actions = {entry["action_type"] for page in api.pages("/history", limit=100) for entry in page["items"]}
    assert actions == set(ActionType)
    assert f"{stats['total_tasks']} tasks, {stats['total_completed']} of them complete" in output

    status, output = run_demo(service)
    assert status == 0
    assert "has the demo's tasks already. To add another week: make demo AGAIN=yes" in output
    assert api.stats() == stats

    status, _ = run_demo(service, "--again")
    assert status == 0
    assert api.stats()["total_tasks"] == 2 * stats["total_tasks"]


def test_three_earlier_weeks_look_as_if_people_had_worked_in_them(filled: Api, data_dir: Path) -> None:
    url = url_of_running_server(data_dir)
    mondays = mondays_of(url)
    for monday in mondays:
        week = filled.stats(date=str(monday))
        assert week["tasks_created_this_week"] > 10
        assert week["tasks_completed_this_week"] > 10
        days = data_of(filled.get("/stats/daily", params={"from": str(monday), "to": str(monday + timedelta(days=6))}))[
            "days"
        ]
        assert [day["changes"] > 0 for day in days] == 5 * [True] + 2 * [False]
    entries = execute(
        url,
        "SELECT DISTINCT action_type, timestamp::time BETWEEN '08:30' AND '17:30' AS is_in_working_hours"
        " FROM task_history WHERE timestamp < :end",
        end=mondays[-1] + timedelta(weeks=1),
    )
    assert {tuple(entry) for entry in entries} == {(action, True) for action in ActionType}


def test_every_rule_holds_in_the_earlier_weeks_and_after_changes_of_them_were_undone(
    filled: Api, data_dir: Path
) -> None:
    url = url_of_running_server(data_dir)
    assert not any(audit(url, []))
    of_each_kind = execute(
        url,
        "SELECT DISTINCT ON (action_type) history_id::text"
        " FROM (SELECT DISTINCT ON (task_id) * FROM task_history ORDER BY task_id, timestamp DESC) AS last_of_a_task"
        " WHERE timestamp < :end ORDER BY action_type",
        end=mondays_of(url)[-1] + timedelta(weeks=1),
    )
    assert len(of_each_kind) == len(ActionType)
    for [history_id] in of_each_kind:
        filled.undo(filled.entry(history_id))
    assert not any(audit(url, []))


def test_the_api_counts_what_is_there(filled: Api, data_dir: Path) -> None:
    url = url_of_running_server(data_dir)
    [there] = execute(
        url,
        "SELECT (SELECT count(*) FROM task_history) AS entries, count(*) AS tasks,"
        " count(*) FILTER (WHERE is_completed) AS completed FROM tasks",
    )
    assert filled.history()["pagination"]["total_count"] == there.entries
    stats = filled.stats()
    assert (stats["total_tasks"], stats["total_completed"]) == (there.tasks, there.completed)
    for monday in mondays_of(url):
        [week] = execute(
            url,
            "SELECT count(*) FILTER (WHERE created_at >= :start AND created_at < :end) AS created,"
            " count(*) FILTER (WHERE completed_at >= :start AND completed_at < :end) AS completed FROM tasks",
            start=monday,
            end=monday + timedelta(weeks=1),
        )
        stats = filled.stats(date=str(monday))
        assert (stats["tasks_created_this_week"], stats["tasks_completed_this_week"]) == (week.created, week.completed)


def redo(api: Api, entries: list[Json]) -> str:
    """Make the changes of `entries`, all of one task, through the API; return the id of the task that they make."""
    [_, _, title, creation, _], *rest = entries
    task_id = str(api.create_task(title, description=json.loads(creation)["description"]["after"])["id"])
    changes: dict[str, Callable[[Json], Any]] = {
        "UPDATED": lambda changed: api.update_task(
            task_id, **{name: value["after"] for name, value in changed.items()}
        ),
        "COMPLETED": lambda _: api.complete_task(task_id),
        "INCOMPLETED": lambda _: api.reopen_task(task_id),
        "DELETED": lambda _: api.delete_task(task_id),
    }
    for action, _, _, changed, _ in rest:
        changes[action](json.loads(changed))
    return task_id


def with_numbered_times(entries: list[Json]) -> str:
    """Return `entries` as text, with a number for each time: 0 for the first that occurs, and so on."""
    said = json.dumps(entries)
    times = list(dict.fromkeys(A_TIME.findall(said)))
    return A_TIME.sub(lambda time: f"<{times.index(time[0])}>", said)


def test_entries_of_earlier_weeks_are_those_that_the_service_would_have_written(filled: Api, data_dir: Path) -> None:
    url = url_of_running_server(data_dir)
    written = {row.task_id: row.entries for row in execute(url, LOG_OF_TASKS)}
    redone = {redo(filled, entries): entries for entries in written.values()}
    log = {row.task_id: row.entries for row in execute(url, LOG_OF_TASKS)}
    for task_id, entries in redone.items():
        assert with_numbered_times(log[task_id]) == with_numbered_times(entries)


def test_a_database_with_tasks_gets_this_week_only(filled: Api, embedded: tuple[Service, Api], data_dir: Path) -> None:
    url = url_of_running_server(data_dir)
    before = execute(url, OLD_ENTRIES)
    status, output = run_demo(embedded[0], "--again", DATA_DIR=str(data_dir))
    assert status == 0, output
    assert "This week only: the embedded database in " in output
    assert execute(url, OLD_ENTRIES) == before != []


@pytest.mark.parametrize("knows_url", [True, False])
def test_another_database_than_the_embedded_one_gets_this_week_only(
    guarded: tuple[Service, Api], database_url: URL, empty_server: URL, data_dir: Path, *, knows_url: bool
) -> None:
    known = {"DATABASE_URL": environment_of(database_url)} if knows_url else {}
    status, output = run_demo(guarded[0], DATA_DIR=str(data_dir), **known)
    assert status == 0, output
    assert "This week only: " in output
    assert execute(database_url, OLD_ENTRIES) == []
    assert execute(empty_server, "SELECT FROM tasks UNION ALL SELECT FROM task_history") == []


def test_the_earlier_weeks_are_written_as_a_whole_or_not_at_all(empty_server: URL, data_dir: Path) -> None:
    settings = Settings(_env_file=None, data_dir=data_dir)
    [[task_id]] = execute(
        empty_server,
        "WITH task AS (INSERT INTO tasks (id, title, is_completed, created_at, updated_at) VALUES"
        " (gen_random_uuid(), 'The first', false, now(), now()) RETURNING id), logged AS"
        " (INSERT INTO task_history (history_id, task_id, action_type, description, timestamp)"
        " SELECT gen_random_uuid(), id, 'CREATED', 'Created', now() FROM task) SELECT id::text FROM task",
    )
    execute(empty_server, "ALTER TABLE tasks ADD CHECK (title NOT LIKE 'Plan %')")
    with pytest.raises(NotWritten, match=r"^the embedded database refused them: .* violates check constraint"):
        write_earlier_weeks(settings, task_id, datetime.now(UTC))
    assert execute(empty_server, "SELECT task_id::text FROM task_history") == [(task_id,)]
    assert execute(empty_server, "SELECT id::text FROM tasks") == [(task_id,)]


def test_the_demo_says_that_it_needs_a_key(guarded: tuple[Service, Api]) -> None:
    status, output = run_demo(guarded[0], API_KEY="")
    assert status == 1
    assert "An API key is required" in output


def test_without_a_service_the_demo_says_how_to_start_one() -> None:
    demo = Service(DEMO)
    assert demo.wait() == 1
    assert f"No service answers at http://127.0.0.1:{demo.port}; start one with `make run`" in demo.output
