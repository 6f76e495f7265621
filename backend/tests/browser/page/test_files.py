"""The files of the page: small, all from the service, nothing inline."""

import gzip
import re

import httpx
import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, Route, expect

from tests.support import page as on_page
from tests.support.tabs import Tabs

LARGEST_BYTES = 40_000


@pytest.fixture
def files(page: Page, api: Api) -> dict[str, httpx.Response]:
    """Return the files that the browser has loaded for all views, by their addresses."""
    for view in ("History", "Week", "Tasks"):
        on_page.go_to(page, view)
    expect(on_page.connection(page)).to_have_text("Live")
    loaded = page.evaluate("performance.getEntries().map(entry => entry.name)")
    addresses = {str(api.base_url)} | {name for name in loaded if "/web/" in name}
    return {address: api.get(address) for address in addresses}


def test_all_files_together_are_small(files: dict[str, httpx.Response]) -> None:
    sizes = {address: len(gzip.compress(file.content)) for address, file in files.items()}
    assert len(sizes) > 3
    assert sum(sizes.values()) <= LARGEST_BYTES, sizes


def test_browsers_ask_whether_a_file_is_new(files: dict[str, httpx.Response], api: Api) -> None:
    for address, file in files.items():
        assert file.headers["Cache-Control"] == "no-cache", address
        again = api.get(address, headers={"If-None-Match": file.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(api: Api) -> None:
    page = api.get("/")
    directives = {
        name: sources for name, *sources in map(str.split, page.headers["Content-Security-Policy"].split(";"))
    }
    assert directives["default-src"] == ["'none'"]
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == ["'self'"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=|javascript:", page.text)


def test_the_policy_stops_a_script_that_somebody_smuggled_in(page: Page, tabs: Tabs) -> None:
    tabs.expected.append("Content Security Policy")
    page.evaluate(
        """() => {
            const image = document.createElement('div');
            image.innerHTML = '<img src="data:," onerror="window.smuggled = true">';
            document.body.append(image);
            const script = document.createElement('script');
            script.textContent = 'window.smuggled = true';
            document.body.append(script);
        }"""
    )
    assert page.evaluate("window.smuggled") is None


@pytest.mark.parametrize("path", ["/web/nowhere.js", "/web/../main.py", "/web/%2e%2e/main.py", "/web/", "/web"])
def test_nothing_but_the_files_of_the_page_is_served(api: Api, path: str) -> None:
    assert api.get(path).json()["error"] == "There is no such path"


def test_the_page_works_behind_a_path_of_a_proxy(api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    """A proxy that serves the service below `/tasks-of-ours/` removes that from each path."""
    api.create_task("Buy milk")
    page = open_page()
    address = str(api.base_url).rstrip("/")

    def forward(route: Route) -> None:
        answer = route.fetch(url=route.request.url.replace("/below", "", 1))
        route.fulfill(response=answer)

    page.route(f"{address}/below/**", forward)
    # The stream of events never ends, so a forwarded answer would never begin.
    tabs.expected.append("net::ERR_FAILED")
    page.route(f"{address}/below/events", lambda route: route.abort())
    page.goto(f"{address}/below/")
    expect(on_page.row(page, "Buy milk")).to_be_visible()
