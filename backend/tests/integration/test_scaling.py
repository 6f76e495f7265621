"""Several machines: reads from a replica, and the machines of `deploy/` while some of them are lost."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import URL

from main import create_app
from tests.drills.machines import FRONTEND_URL, HAPROXY
from tests.drills.scale import CHANGES, lose_machines
from tests.support.client import Api, error_of
from tests.support.databases import execute, settings_for
from tests.support.live_server import serve
from tests.support.pgbouncer import PROGRAM as PGBOUNCER


@pytest.fixture
def replica_url(clone: Callable[[], AbstractContextManager[URL]]) -> Iterator[URL]:
    """A replica that lags so far that no change has reached it."""
    with clone() as url:
        yield url


@pytest.fixture
def api(database_url: URL, replica_url: URL) -> Iterator[Api]:
    """A service that reads from a replica."""
    with (
        serve(create_app(settings_for(database_url, database_read_url=replica_url))) as (_, address),
        Api(address) as api,
    ):
        yield api


def test_the_list_the_history_and_the_stats_are_read_from_the_replica(api: Api) -> None:
    api.create_task()
    assert api.list_tasks() == []
    assert list(api.pages("/tasks", limit=1)) == [[]]
    assert api.history()["items"] == []
    assert api.stats()["total_tasks"] == 0


def test_single_tasks_and_changes_use_the_primary(api: Api, replica_url: URL) -> None:
    execute(replica_url, "ALTER TABLE tasks RENAME TO elsewhere")
    task = api.create_task()
    assert api.get_task(task["id"]) == task
    assert api.update_task(task["id"], title="Other")["title"] == "Other"
    assert api.complete_task(task["id"]) == api.get_task(task["id"])
    api.delete_task(task["id"])
    assert api.get("/health/ready").is_success


@pytest.mark.skipif(
    not (HAPROXY and PGBOUNCER and sys.platform == "linux"),
    reason="needs Linux, HAProxy and PgBouncer (apt-get install haproxy pgbouncer)",
)
def test_losing_a_service_and_the_primary_loses_no_change() -> None:
    outcome = lose_machines(0.5, CHANGES)
    assert outcome.changes > 0
    assert outcome.reads > 0
    assert not any(outcome.findings), outcome.findings
    assert outcome.errors == []
    assert "not available" in error_of(outcome.last_answer, 503)
    assert outcome.last_answer.headers["Access-Control-Allow-Origin"] == FRONTEND_URL
