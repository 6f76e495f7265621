"""Swagger UI and ReDoc, in a browser that reaches nothing but the service."""

import json
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import URL

from main import create_app
from tests.support.client import Json
from tests.support.databases import settings_for
from tests.support.live_server import serve
from tests.support.waiting import PATIENCE_S

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Locator, Page, Request, expect

API_KEY = "a-key-of-the-documentation-tests"


@pytest.fixture
def address(database_url: URL) -> Iterator[str]:
    """The address of a service that asks for a key."""
    with serve(create_app(settings_for(database_url, api_key=API_KEY))) as (_, address):
        yield address


@pytest.fixture
def page(page: Page, address: str) -> Iterator[Page]:
    """A page that must request nothing from other hosts, and raise no error."""
    requests: list[Request] = []
    errors: list[str] = []
    # Playwright marks its listeners, and the method of a list cannot be marked.
    page.on("request", lambda request: requests.append(request))  # noqa: PLW0108
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    # After this, the browser has told which requests the policy blocked.
    page.evaluate("0")
    elsewhere = [each.url for each in requests if not each.url.startswith((address, "data:", "blob:"))]
    blocked = [each.url for each in requests if each.failure == "csp"]
    assert set(elsewhere) <= set(blocked)
    assert errors == []


def try_out(page: Page, operation_id: str, summary: str) -> Locator:
    """Give Swagger UI the key, and open an operation to be tried."""
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(API_KEY)
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close", exact=True).click()
    operation = page.locator(f"#operations-{operation_id}")
    operation.get_by_role("button", name=summary).click()
    operation.get_by_role("button", name="Try it out").click()
    return operation


def execute(operation: Locator, status_code: int) -> Json:
    """Send the request, and return the answer that Swagger UI shows."""
    operation.get_by_role("button", name="Execute").click()
    live = operation.locator(".live-responses-table .response")
    expect(live.locator(".response-col_status")).to_contain_text(str(status_code))
    return json.loads(live.locator(".response-col_description code").first.inner_text())


def test_a_task_is_created_in_swagger_ui(page: Page, address: str) -> None:
    page.goto(f"{address}/docs")
    operation = try_out(page, "tasks-create_task", "Create a task")
    operation.get_by_placeholder("Idempotency-Key").fill("from-swagger-ui")
    operation.locator("textarea").fill('{"title": "From Swagger UI"}')
    answer = execute(operation, 201)
    assert answer["data"]["title"] == "From Swagger UI"
    assert answer["popup"] == "TASK_CREATED"


def test_a_change_is_undone_in_swagger_ui(page: Page, address: str) -> None:
    key = {"Authorization": f"Bearer {API_KEY}"}
    created = httpx.post(f"{address}/tasks", json={"title": "From elsewhere"}, headers=key, timeout=PATIENCE_S)
    page.goto(f"{address}/docs")
    operation = try_out(page, "history-undo_history_entry", "Undo a change")
    operation.get_by_placeholder("history_id").fill(created.headers["History-ID"])
    answer = execute(operation, 200)
    assert answer["data"] is None
    assert answer["popup"] == "TASK_DELETED"


def test_redoc_shows_every_operation(page: Page, address: str) -> None:
    page.goto(f"{address}/redoc")
    for summary in ("Create a task", "Read the audit log", "Count the week's tasks"):
        expect(page.get_by_role("heading", name=summary)).to_be_visible()
