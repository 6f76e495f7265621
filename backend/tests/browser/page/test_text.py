"""Text of any kind is shown as text, and fits on a telephone."""

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, expect

from tests.support import page as on_page

ATTACKS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "\"><iframe srcdoc='<script>parent.alert(1)</script>'>",
    "<a href='javascript:alert(1)'>click</a>",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)}",
    "</title></textarea></style><b onmouseover=alert(1)>bold</b>",
]
SPECIAL = [
    "&lt;b&gt; &amp; &#39;",
    "קנה חלב (2 ליטר)",
    "اشترِ الحليب من المتجر",
    "Buy \u202eklim\u202c backwards",
    "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 🇫🇷 é",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "W" * 255,
    "汉字" * 120,
    "__proto__",
]
each_kind = pytest.mark.parametrize("texts", [ATTACKS, SPECIAL], ids=["attacks", "special"])


def expect_no_scrolling(page: Page) -> None:
    """Expect that the page is no wider than its window."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@each_kind
def test_the_tasks_show_it_as_text(api: Api, open_page: OpenPage, texts: list[str]) -> None:
    for text in texts:
        api.create_task(text, description=text)
    page = open_page(viewport={"width": 360, "height": 800})
    expect(on_page.rows(page)).to_have_count(len(texts))
    expect_no_scrolling(page)
    # Each is deleted in turn, so the first row is that of the next one.
    for text in reversed(texts):
        row = on_page.rows(page).first
        expect(row.get_by_text(text, exact=True)).to_have_count(2)
        row.get_by_role("button", name="Edit").click()
        expect(on_page.field(page, "Title")).to_have_value(text)
        expect(on_page.field(page, "Description")).to_have_value(text)
        expect_no_scrolling(page)
        on_page.press(page, "Cancel")
        row.get_by_role("button", name="Delete").click()
        expect(on_page.row(page, text)).to_have_count(0)
        expect_no_scrolling(page)


@each_kind
def test_the_history_shows_it_as_text(api: Api, open_page: OpenPage, texts: list[str]) -> None:
    for text in texts:
        api.update_task(api.create_task("Buy milk")["id"], title=text, description=text)
    page = open_page("history", viewport={"width": 360, "height": 800})
    page.get_by_role("combobox", name="Action").select_option("Updated")
    on_page.expect_total(page, len(texts))
    for number, text in enumerate(reversed(texts)):
        entry = on_page.entries(page).nth(number)
        entry.get_by_role("button", name="Title changed from 'Buy milk'").click()
        expect(entry.get_by_role("cell", name=text, exact=True)).to_have_count(2)
        expect_no_scrolling(page)


def test_the_search_takes_it_as_text(api: Api, open_page: OpenPage) -> None:
    for text in (*ATTACKS, "Another"):
        api.create_task(text)
    page = open_page()
    for text in ATTACKS:
        page.get_by_role("searchbox", name="Search tasks").fill(text)
        expect(on_page.rows(page)).to_have_count(1)
        expect(on_page.rows(page).get_by_text(text, exact=True)).to_be_visible()


def test_a_typed_text_arrives_as_it_is(page: Page, api: Api) -> None:
    for text in ATTACKS:
        on_page.new_task(page).fill(text)
        on_page.press(page, "Add")
        expect(on_page.rows(page).get_by_text(text, exact=True)).to_be_visible()
    assert [task["title"] for task in api.list_tasks()] == ATTACKS[::-1]


def test_lines_and_spaces_of_a_description_are_kept(api: Api, open_page: OpenPage) -> None:
    text = "First line\n  second line\n\nlast line"
    task = api.create_task("Buy milk", description=text)
    page = open_page()
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    expect(on_page.field(page, "Description")).to_have_value(text)
    on_page.press(page, "Save")
    expect(on_page.row(page, "Buy oat milk")).to_be_visible()
    assert api.get_task(task["id"])["description"] == text


def test_text_runs_in_its_own_direction(api: Api, open_page: OpenPage) -> None:
    api.create_task("קנה חלב", description="Two litres")
    row = on_page.rows(open_page())
    expect(row.get_by_text("קנה חלב", exact=True)).to_have_css("direction", "rtl")
    expect(row.get_by_text("Two litres", exact=True)).to_have_css("direction", "ltr")


@pytest.mark.parametrize("view", ["tasks", "history", "week"])
def test_a_view_fits_on_a_telephone(api: Api, open_page: OpenPage, view: str) -> None:
    api.complete_task(api.create_task("Buy milk", description="Two litres")["id"])
    page = open_page(view, viewport={"width": 360, "height": 800})
    expect(on_page.connection(page)).to_have_text("Live")
    expect_no_scrolling(page)
