"""A service that asks for an API key."""

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from main import create_app
from tests.browser.page.conftest import OpenPage
from tests.support.client import Api
from tests.support.databases import settings_for
from tests.support.live_server import serve

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Locator, Page, Route, expect

from tests.support import page as on_page
from tests.support.tabs import Tabs

API_KEY = "a-key-of-the-page-tests"


@pytest.fixture
def api(database_url: URL) -> Iterator[Api]:
    with serve(create_app(settings_for(database_url, api_key=API_KEY))) as (_, address), Api(address) as api:
        api.headers["Authorization"] = f"Bearer {API_KEY}"
        yield api


@pytest.fixture
def page(api: Api, open_page: OpenPage, tabs: Tabs) -> Page:
    """The Tasks view, which is asked for the key."""
    tabs.expected.append("status of 401")
    api.create_task("Buy milk")
    return open_page()


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog", name="API key")


def enter(page: Page, key: str) -> None:
    dialog(page).get_by_label("API key", exact=True).fill(key)
    dialog(page).get_by_role("button", name="Continue").click()


def test_the_page_asks_for_the_key_once(page: Page) -> None:
    expect(dialog(page)).to_have_count(1)
    enter(page, API_KEY)
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    expect(on_page.connection(page)).to_have_text("Live")
    on_page.add(page, "Buy bread")
    on_page.go_to(page, "Week")
    expect(page.get_by_role("table", name="Days of the week")).to_be_visible()
    expect(dialog(page)).to_be_hidden()


def test_a_wrong_key_is_refused(page: Page) -> None:
    enter(page, "wrong")
    expect(dialog(page)).to_contain_text("That key is not accepted.")
    enter(page, API_KEY)
    expect(dialog(page)).to_be_hidden()
    expect(on_page.row(page, "Buy milk")).to_be_visible()


def test_escape_does_not_lose_what_waits_for_the_key(page: Page) -> None:
    for _ in range(3):
        expect(dialog(page)).to_be_visible()
        page.keyboard.press("Escape")
    enter(page, API_KEY)
    expect(on_page.row(page, "Buy milk")).to_be_visible()


def test_the_key_is_hidden_and_never_in_the_address(page: Page) -> None:
    expect(dialog(page).get_by_label("API key", exact=True)).to_have_attribute("type", "password")
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    enter(page, API_KEY)
    expect(on_page.connection(page)).to_have_text("Live")
    assert [address for address in addresses if API_KEY in address] == []
    assert API_KEY not in page.url


def test_a_reload_keeps_the_key(page: Page) -> None:
    enter(page, API_KEY)
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    page.reload()
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    expect(on_page.connection(page)).to_have_text("Live")
    expect(dialog(page)).to_be_hidden()


def test_what_waits_for_the_key_is_done_after_it(page: Page, api: Api) -> None:
    enter(page, API_KEY)
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    asked: list[Route] = []

    def forget_key_once(route: Route) -> None:
        """Send the first request without the key, as if the service had a new one by now."""
        asked.append(route)
        headers = {name: value for name, value in route.request.headers.items() if name != "authorization"}
        route.continue_(headers=headers if len(asked) == 1 else None)

    page.route("**/tasks", forget_key_once)
    on_page.new_task(page).fill("Buy bread")
    on_page.press(page, "Add")
    enter(page, API_KEY)
    expect(on_page.row(page, "Buy bread")).to_be_visible()
    assert len(api.list_tasks()) == 2


def test_the_exports_need_no_second_key(page: Page, api: Api) -> None:
    enter(page, API_KEY)
    on_page.go_to(page, "History")
    on_page.expect_total(page, 1)
    assert on_page.download(page) == api.get("/history", params={"format": "csv"}).content
