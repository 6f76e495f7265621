"""`make demo`: a month of tasks, once."""

import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from src.models.task_history import ActionType
from tests.support.client import Api
from tests.support.databases import environment_of
from tests.support.service import MAIN, Service, running

DEMO = [sys.executable, "demo.py"]
KEY = "a-key-of-the-demo"


def run_demo(service: Service, *arguments: str, api_key: str = KEY) -> tuple[int, str]:
    """Run the demo against `service`; return its exit status and what it printed."""
    demo = Service([*DEMO, *arguments], PORT=str(service.port), API_KEY=api_key)
    return demo.wait(), demo.output


@pytest.fixture
def guarded(database_url: URL) -> Iterator[tuple[Service, Api]]:
    """A service that asks for a key, and a client that has one."""
    with running(MAIN, DATABASE_URL=environment_of(database_url), API_KEY=KEY) as (service, api):
        api.headers["Authorization"] = f"Bearer {KEY}"
        yield service, api


def test_the_demo_fills_the_service_once_and_again_on_request(guarded: tuple[Service, Api]) -> None:
    service, api = guarded
    status, output = run_demo(service)
    assert status == 0, output
    stats = api.stats()
    assert 20 < stats["total_completed"] < stats["total_tasks"]
    assert stats["tasks_created_this_week"] == stats["total_tasks"]
    actions = {entry["action_type"] for page in api.pages("/history", limit=100) for entry in page["items"]}
    assert actions == set(ActionType)
    assert f"{stats['total_tasks']} tasks, {stats['total_completed']} of them complete" in output

    status, output = run_demo(service)
    assert status == 0
    assert "has the demo's tasks already. To add another month: make demo AGAIN=yes" in output
    assert api.stats() == stats

    status, _ = run_demo(service, "--again")
    assert status == 0
    assert api.stats()["total_tasks"] == 2 * stats["total_tasks"]


def test_the_demo_says_that_it_needs_a_key(guarded: tuple[Service, Api]) -> None:
    status, output = run_demo(guarded[0], api_key="")
    assert status == 1
    assert "An API key is required" in output


def test_without_a_service_the_demo_says_how_to_start_one() -> None:
    demo = Service(DEMO)
    assert demo.wait() == 1
    assert f"No service answers at http://127.0.0.1:{demo.port}; start one with `make run`" in demo.output
