"""Answers that are no success: refusals of the service, and what a proxy in front of it says."""

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, Route, expect

from tests.support import page as on_page
from tests.support.tabs import Tabs

HTML = "<!doctype html><title>Proxy</title>"
FAILURE = '{"success":false,"data":null,"popup":null,"error":"Internal server error"}'


def answer(page: Page, path: str, method: str, status: int, body: str, times: int | None = None) -> None:
    """Answer requests in place of the service."""
    kind = "application/json" if body.startswith("{") else "text/html"

    def handle(route: Route) -> None:
        if route.request.method == method:
            route.fulfill(status=status, content_type=kind, body=body)
        else:
            route.fallback()

    if times is None:
        page.route(path, handle)
    else:
        page.route(path, handle, times=times)


@pytest.mark.parametrize("status", [403, 413, 431])
def test_a_refusal_of_a_proxy_is_said(page: Page, tabs: Tabs, status: int) -> None:
    tabs.expected.append(f"status of {status}")
    answer(page, "**/tasks", "POST", status, HTML)
    on_page.new_task(page).fill("Buy milk")
    on_page.press(page, "Add")
    expect(on_page.toast(page, f"The service answered {status}.")).to_be_visible()
    expect(on_page.new_task(page)).to_have_value("Buy milk")


@pytest.mark.parametrize(("status", "body"), [(429, '{"message":"slow down"}'), (500, HTML), (502, HTML), (200, HTML)])
def test_an_answer_that_says_nothing_of_the_task_is_repeated(
    page: Page, api: Api, tabs: Tabs, status: int, body: str
) -> None:
    tabs.expected.append(f"status of {status}")
    answer(page, "**/tasks", "POST", status, body, times=1)
    on_page.add(page, "Buy milk")
    assert len(api.list_tasks()) == 1


@pytest.mark.parametrize("view", ["tasks", "history", "week"])
def test_a_view_says_why_it_is_empty(open_page: OpenPage, tabs: Tabs, view: str) -> None:
    tabs.expected.append("status of 500")
    page = open_page("week" if view != "week" else "tasks")
    answer(page, "**/tasks?*", "GET", 500, FAILURE)
    answer(page, "**/history?*", "GET", 500, FAILURE)
    answer(page, "**/stats/*", "GET", 500, FAILURE)
    page.get_by_role("link", name=view.capitalize()).click()
    expect(page.get_by_role("main").get_by_text("Internal server error")).to_be_visible()


def test_a_page_of_a_proxy_is_no_stream(api: Api, open_page: OpenPage) -> None:
    page = open_page()
    expect(on_page.connection(page)).to_have_text("Live")
    answer(page, "**/events", "GET", 200, HTML)
    page.reload()
    expect(on_page.connection(page)).to_have_text("Away")
    page.unroute("**/events")
    expect(on_page.connection(page)).to_have_text("Live")
    api.create_task("Buy milk")
    expect(on_page.row(page, "Buy milk")).to_be_visible()


def test_a_browser_without_storage_shows_the_page(api: Api, page: Page) -> None:
    forbidden = "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no'); } })"
    page.add_init_script(forbidden)
    page.reload()
    on_page.add(page, "Buy milk")
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    on_page.press(page, "Save")
    expect(on_page.row(page, "Buy oat milk")).to_be_visible()
    assert len(api.list_tasks()) == 1
