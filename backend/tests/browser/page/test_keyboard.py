"""The page by keyboard alone: everything can be reached, the focus is visible, and it is never lost."""

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api
from tests.support.waiting import wait_until

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Locator, Page, expect

from tests.support import page as on_page
from tests.support.tabs import Tabs

# More stops than any view of these tests has.
STOPS = 80
# Whether the focused element has a ring around it, and nothing around it is transparent.
IS_SEEN = """() => {
    const style = getComputedStyle(document.activeElement);
    let opacity = 1;
    for (let element = document.activeElement; element; element = element.parentElement)
        opacity *= getComputedStyle(element).opacity;
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && opacity > 0.99;
}"""


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab until `target` has the focus. The focus is visible at each stop on the way."""
    expect(target).to_be_visible()
    for _ in range(STOPS):
        page.keyboard.press(key)
        if page.evaluate("document.activeElement !== document.body"):
            page.wait_for_function(IS_SEEN)
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{key} does not lead to {target}")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def test_a_whole_round(page: Page, api: Api) -> None:
    tab_to(page, on_page.new_task(page))
    page.keyboard.type("Buy milk")
    page.keyboard.press("Enter")
    mark = on_page.check_mark(page, "Buy milk")
    tab_to(page, mark)
    page.keyboard.press("Space")
    expect(mark).to_be_checked()
    expect(mark).to_be_focused()
    # An edit of the version before would be a conflict.
    expect(on_page.toast(page, "Task completed")).to_be_visible()
    tab_to(page, button(page, "Edit Buy milk"))
    page.keyboard.press("Enter")
    expect(on_page.field(page, "Title")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Buy bread")
    page.keyboard.press("Enter")
    expect(button(page, "Edit Buy bread")).to_be_focused()
    tab_to(page, button(page, "Delete Buy bread"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    on_page.expect_focus(page)
    tab_to(page, on_page.toast(page, "Task deleted").get_by_role("button", name="Undo"))
    page.keyboard.press("Enter")
    expect(on_page.row(page, "Buy bread")).to_be_visible()
    on_page.expect_focus(page)
    assert [task["title"] for task in api.list_tasks()] == ["Buy bread"]


def test_each_view_is_reached_and_has_the_focus(page: Page) -> None:
    for view in ("History", "Week", "Tasks"):
        tab_to(page, page.get_by_role("navigation", name="Views").get_by_role("link", name=view))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(view)
        on_page.expect_focus(page)


def test_escape_closes_the_form_and_leads_back(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page()
    tab_to(page, button(page, "Edit Buy milk"))
    page.keyboard.press("Enter")
    tab_to(page, on_page.field(page, "Description"))
    page.keyboard.type("Two litres")
    page.keyboard.press("Escape")
    expect(on_page.field(page, "Title")).to_be_hidden()
    expect(button(page, "Edit Buy milk")).to_be_focused()


def test_tab_leads_backwards_too(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page()
    tab_to(page, button(page, "Delete Buy milk"))
    tab_to(page, on_page.new_task(page), "Shift+Tab")


def test_after_a_deletion_the_next_task_has_the_focus(api: Api, open_page: OpenPage) -> None:
    for title in ("Third", "Second", "First"):
        api.create_task(title)
    page = open_page()
    tab_to(page, button(page, "Delete Second"))
    page.keyboard.press("Enter")
    on_page.expect_titles(page, ["First", "Third"])
    expect(on_page.row(page, "Third").locator(":focus")).to_have_count(1)
    tab_to(page, button(page, "Delete Third"))
    page.keyboard.press("Enter")
    on_page.expect_titles(page, ["First"])
    expect(on_page.row(page, "First").locator(":focus")).to_have_count(1)


def test_a_conflict_is_solved(api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    tabs.expected.append("status of 412")
    task = api.create_task("Buy milk")
    page = open_page()
    tab_to(page, button(page, "Edit Buy milk"))
    page.keyboard.press("Enter")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Buy bread")
    api.update_task(task["id"], title="Buy eggs")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Somebody else changed this task")).to_be_visible()
    on_page.expect_focus(page)
    tab_to(page, button(page, "Save mine"))
    page.keyboard.press("Enter")
    expect(button(page, "Edit Buy bread")).to_be_focused()


def test_ctrl_z_undoes_the_changes_that_the_toasts_tell_of(api: Api, open_page: OpenPage) -> None:
    for title in ("Second", "First"):
        api.create_task(title)
    page = open_page()
    toasts = page.get_by_role("log", name="Notifications").locator("> *")
    for number, title in enumerate(("First", "Second"), start=1):
        tab_to(page, on_page.check_mark(page, title))
        page.keyboard.press("Space")
        expect(toasts).to_have_count(number)
    for title in ("Second", "First"):
        page.keyboard.press("ControlOrMeta+z")
        expect(on_page.check_mark(page, title)).not_to_be_checked()
    # Nothing is left to undo, and an undo is not undone by the same key.
    page.keyboard.press("ControlOrMeta+z")
    on_page.go_to(page, "History")
    on_page.expect_total(page, 6)


def test_ctrl_z_in_a_field_takes_back_what_was_typed(page: Page, api: Api) -> None:
    on_page.add(page, "Buy milk")
    expect(on_page.toast(page, "Task created")).to_be_visible()
    expect(on_page.new_task(page)).to_have_value("")
    on_page.new_task(page).press_sequentially("Buy bread")
    page.keyboard.press("ControlOrMeta+z")
    expect(on_page.new_task(page)).not_to_have_value("Buy bread")
    assert [task["title"] for task in api.list_tasks()] == ["Buy milk"]


def test_an_entry_is_opened_and_undone(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page("history")
    disclosure = on_page.entry(page, "Task created").get_by_role("button", name="Task created: 'Buy milk'")
    tab_to(page, disclosure)
    page.keyboard.press("Space")
    expect(disclosure).to_have_attribute("aria-expanded", "true")
    expect(disclosure).to_be_focused()
    tab_to(page, button(page, "Undo"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Already undone.")).to_be_visible()
    on_page.expect_focus(page)
    wait_until(lambda: api.list_tasks() == [])


def test_the_filters_keep_the_focus(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page("history")
    search = page.get_by_role("searchbox", name="Search history")
    tab_to(page, search)
    page.keyboard.type("nowhere")
    on_page.expect_total(page, 0)
    expect(search).to_be_focused()


def test_the_weeks_keep_the_focus(open_page: OpenPage) -> None:
    page = open_page("week")
    expect(page.get_by_role("table", name="Days of the week")).to_be_visible()
    tab_to(page, button(page, "Previous week"))
    page.keyboard.press("Enter")
    expect(button(page, "Next week")).to_be_enabled()
    expect(button(page, "Previous week")).to_be_focused()
    tab_to(page, button(page, "Next week"))
    page.keyboard.press("Enter")
    # It is disabled now.
    expect(button(page, "Next week")).to_be_disabled()
    on_page.expect_focus(page)
