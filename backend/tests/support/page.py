"""The parts of the page at `/`, found as a person finds them: by role and name."""

import re
from collections.abc import Sequence

from playwright.sync_api import Locator, Page, expect

AWAY = "The service is away. Nothing is lost; trying again…"


def connection(page: Page) -> Locator:
    return page.get_by_role("status", name="Connection")


def go_to(page: Page, view: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
    expect(page.get_by_role("heading", level=1, name=view)).to_be_visible()


def toast(page: Page, text: str) -> Locator:
    """Return the newest toast with this text."""
    return page.get_by_role("log", name="Notifications").locator("> *").filter(has_text=text).last


def undo_from_toast(page: Page, text: str) -> None:
    toast(page, text).get_by_role("button", name="Undo").click()


def new_task(page: Page) -> Locator:
    return page.get_by_role("textbox", name="New task")


def add(page: Page, title: str) -> None:
    """Add a task, and wait until the list shows it."""
    new_task(page).fill(title)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(check_mark(page, title)).to_be_visible()


def rows(page: Page) -> Locator:
    return page.get_by_role("list", name="Tasks", exact=True).get_by_role("listitem")


def check_mark(page: Page, title: str) -> Locator:
    return page.get_by_role("checkbox", name=title, exact=True)


def row(page: Page, title: str) -> Locator:
    return rows(page).filter(has=check_mark(page, title))


def expect_titles(page: Page, titles: Sequence[str]) -> None:
    """Expect exactly these tasks, in this order."""
    marks = rows(page).get_by_role("checkbox")
    expect(marks).to_have_count(len(titles))
    for number, title in enumerate(titles):
        expect(marks.nth(number)).to_have_accessible_name(title)


def edit(page: Page, title: str, **fields: str) -> None:
    """Open the form of a task, and type into the fields, by their names."""
    page.get_by_role("button", name=f"Edit {title}", exact=True).click()
    for name, text in fields.items():
        field(page, name).fill(text)


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def entries(page: Page) -> Locator:
    return page.get_by_role("list", name="History", exact=True).get_by_role("listitem")


def entry(page: Page, sentence: str) -> Locator:
    """Return the newest entry with this sentence."""
    return entries(page).filter(has_text=sentence).first


def open_entry(page: Page, sentence: str) -> Locator:
    """Open the newest entry with this sentence, and return it."""
    disclosure = entry(page, sentence).get_by_role("button", name=sentence)
    disclosure.click()
    expect(disclosure).to_have_attribute("aria-expanded", "true")
    return entry(page, sentence)


def expect_total(page: Page, number: int) -> None:
    """Expect the text with the number of entries that match."""
    noun = "entry" if number == 1 else "entries"
    expect(page.get_by_text(re.compile(rf"^{number:,} {noun}$"))).to_be_visible()


def expect_focus(page: Page) -> None:
    """Expect that something has the focus, and not the whole page."""
    expect(page.locator("body :focus")).to_have_count(1)


def download(page: Page) -> bytes:
    """Download the file that the view offers, and return what is in it."""
    with page.expect_download() as waiting:
        press(page, "Download CSV")
    assert waiting.value.suggested_filename.endswith(".csv")
    return waiting.value.path().read_bytes()
