"""A frontend on another origin: what the browser lets its script read."""

from collections.abc import Callable
from functools import partial

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from sqlalchemy import make_url

from src.database.database import Database
from tests.browser.conftest import SPA, STRANGER
from tests.support.client import Api, Json
from tests.support.databases import Sql, settings_for
from tests.support.service import free_port
from tests.support.waiting import wait_until

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Error, Page, expect

Call = Callable[..., Json]


@pytest.fixture
def spa(page: Page) -> Page:
    page.goto(SPA)
    return page


@pytest.fixture
def call(spa: Page, api: Api) -> Call:
    """Call the service from the page, and return the status, the answer and the headers that its script reads."""
    return lambda path, *request: spa.evaluate("request => call(...request)", [str(api.base_url.join(path)), *request])


def test_the_script_creates_edits_completes_and_deletes_a_task(spa: Page, call: Call) -> None:
    toast = spa.locator("#toast")

    created = call("/tasks", "POST", '{"title": "Buy"}')
    expect(toast).to_have_text("TASK_CREATED")
    path = f"/tasks/{created['answer']['data']['id']}"
    for way, popup in (("complete", "TASK_COMPLETED"), ("incomplete", "TASK_INCOMPLETE")):
        assert call(f"{path}/{way}", "PATCH")["status"] == 200
        expect(toast).to_have_text(popup)
    assert call(path, "PUT", '{"title": "Buy groceries"}')["answer"]["data"]["title"] == "Buy groceries"
    expect(toast).to_have_text("TASK_UPDATED")
    assert [task["title"] for task in call("/tasks")["answer"]["data"]] == ["Buy groceries"]
    assert call("/stats/weekly")["answer"]["data"]["tasks_created_this_week"] == 1
    assert call(path, "DELETE")["status"] == 200
    expect(toast).to_have_text("TASK_DELETED")
    assert call("/history")["answer"]["data"]["pagination"]["total_count"] == 5


def test_the_script_reads_the_exposed_headers(call: Call, api: Api) -> None:
    for _ in range(2):
        api.create_task()

    page = call("/tasks?limit=1")

    assert page["exposed"]["x-request-id"] == "from-the-page"
    assert page["exposed"]["link"].endswith('; rel="next"')


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        (["/tasks", "POST", '{"title": ""}'], 400, "title: must be 1 to 255 characters"),
        (["/tasks/0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"], 404, "Task not found"),
        (["/nowhere"], 404, "There is no such path"),
        (["/tasks", "DELETE"], 405, "The method is not allowed on this path"),
        (["/tasks", "POST", " " * 65_537], 413, "The request body is too large"),
    ],
)
def test_the_script_reads_why_its_request_was_refused(
    spa: Page, call: Call, request_: list[str], status: int, sentence: str
) -> None:
    seen = call(*request_)
    assert seen["status"] == status
    assert seen["answer"] == {"success": False, "data": None, "popup": None, "error": sentence}
    assert seen["exposed"]["x-request-id"] == "from-the-page"
    expect(spa.locator("#toast")).to_have_text(sentence)


def test_the_script_reads_the_error_of_a_crash(call: Call, sql: Sql) -> None:
    sql("ALTER TABLE tasks RENAME TO elsewhere; CREATE VIEW tasks AS SELECT * FROM elsewhere WHERE 1 / 0 = 1")
    seen = call("/tasks")
    assert (seen["status"], seen["answer"]["error"]) == (500, "Something went wrong on our side")
    assert seen["exposed"]["x-request-id"] == "from-the-page"


def test_the_script_reads_when_to_try_again(call: Call, live_app: tuple[FastAPI, str]) -> None:
    nowhere = make_url(f"postgresql://someone@127.0.0.1:{free_port()}/tasks")
    live_app[0].state.database = Database(settings_for(nowhere, repeat_budget_s=0.1))
    seen = call("/tasks")
    assert (seen["status"], seen["answer"]["popup"]) == (503, None)
    assert int(seen["exposed"]["retry-after"]) >= 1


def test_a_page_of_another_origin_cannot_read_an_answer_although_the_service_sent_it(page: Page, api: Api) -> None:
    api.create_task()
    page.goto(STRANGER)
    labels = {"http_request_method": "GET", "http_route": "/tasks", "http_response_status_code": "200"}
    served = partial(REGISTRY.get_sample_value, "http_server_request_duration_seconds_count", labels)
    before = served() or 0
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("url => fetch(url)", str(api.base_url.join("/tasks")))
    # The service counts a request after it has sent the answer.
    wait_until(lambda: served() == before + 1)


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", '{"title": "From a stranger"}')])
def test_a_page_of_another_origin_reads_and_writes_nothing(page: Page, api: Api, method: str, body: str | None) -> None:
    page.goto(STRANGER)
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("request => call(...request)", [str(api.base_url.join("/tasks")), method, body])
    assert api.list_tasks() == []
