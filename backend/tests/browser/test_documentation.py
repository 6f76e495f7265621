"""Swagger UI and ReDoc, in a browser that reaches nothing but the service."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from main import create_app
from src.database.database import Database
from tests.support.client import Json
from tests.support.databases import settings_for
from tests.support.live_server import serve

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, Request, expect

API_KEY = "a-key-of-the-documentation-tests"


@pytest.fixture
def address(database_url: URL) -> Iterator[str]:
    """The address of a service that asks for a key."""
    with serve(create_app(settings_for(database_url, api_key=API_KEY))) as (_, address):
        yield address


@pytest.fixture
def page(page: Page, address: str) -> Iterator[Page]:
    """A page that must request nothing from other hosts, and raise no error."""
    elsewhere: list[str] = []
    errors: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            elsewhere.append(request.url)

    def forget_requests_that_the_policy_blocked(request: Request) -> None:
        if request.failure == "csp":
            elsewhere.remove(request.url)

    page.on("request", note)
    page.on("requestfailed", forget_requests_that_the_policy_blocked)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert elsewhere == []
    assert errors == []


def test_a_task_is_created_in_swagger_ui(page: Page, address: str, database: Database) -> None:
    page.goto(f"{address}/")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_label("auth-bearer-value").fill(API_KEY)
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close", exact=True).click()

    operation = page.locator("#operations-tasks-create_task")
    operation.get_by_role("button", name="Create a task").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("textbox").fill('{"title": "From Swagger UI"}')
    operation.get_by_role("button", name="Execute").click()

    live = operation.locator(".live-responses-table .response")
    expect(live.locator(".response-col_status")).to_contain_text("201")
    answer: Json = json.loads(live.locator(".response-col_description code").first.inner_text())
    assert answer["data"]["title"] == "From Swagger UI"
    assert answer["popup"] == "TASK_CREATED"


def test_redoc_shows_every_operation(page: Page, address: str) -> None:
    page.goto(f"{address}/redoc")
    for summary in ("Create a task", "Read the audit log", "Count the week's tasks"):
        expect(page.get_by_role("heading", name=summary)).to_be_visible()
