"""The Tasks view, and the way between the views."""

import re

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api
from tests.support.databases import Sql

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, expect

from tests.support import page as on_page
from tests.support.tabs import Tabs

# Titles in the order of the list: open ones first, then newest first.
MANY = (
    "INSERT INTO tasks SELECT gen_random_uuid(), 'Task ' || number, NULL, number <= 20, at, at,"
    " CASE WHEN number <= 20 THEN at END FROM generate_series(1, :number) AS number,"
    " LATERAL (SELECT timestamptz '2026-03-02 08:00Z' + number * interval '1 minute' AS at) AS moment"
)


@pytest.mark.parametrize("view", ["Tasks", "History", "Week"])
def test_each_view_has_an_address_a_title_and_a_heading(open_page: OpenPage, view: str) -> None:
    page = open_page(view.lower())
    expect(page).to_have_title(view)
    expect(page.get_by_role("heading", level=1)).to_have_text(view)
    link = page.get_by_role("navigation", name="Views").get_by_role("link", name=view)
    expect(link).to_have_attribute("aria-current", "page")


def test_the_links_lead_from_view_to_view_and_back(page: Page) -> None:
    for view in ("History", "Week", "Tasks"):
        on_page.go_to(page, view)
        expect(page).to_have_url(re.compile(f"#/{view.lower()}$"))
        expect(page.locator("[aria-current=page]")).to_have_text(view)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Week")


def test_the_page_leads_to_the_documentation_of_the_api(page: Page) -> None:
    page.get_by_role("link", name="API", exact=True).click()
    expect(page).to_have_url(re.compile("/docs$"))


def test_the_first_view_is_the_tasks(open_page: OpenPage, api: Api) -> None:
    page = open_page("")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    assert api.list_tasks() == []


def test_a_task_is_added(page: Page, api: Api) -> None:
    on_page.add(page, "Buy milk")
    expect(on_page.toast(page, "Task created")).to_be_visible()
    expect(on_page.new_task(page)).to_have_value("")
    expect(page.get_by_text("No tasks yet.")).to_be_hidden()
    assert [task["title"] for task in api.list_tasks()] == ["Buy milk"]


def test_enter_adds_a_task_above_the_older_ones(page: Page) -> None:
    on_page.add(page, "First")
    on_page.new_task(page).fill("Second")
    on_page.new_task(page).press("Enter")
    on_page.expect_titles(page, ["Second", "First"])


def test_a_title_that_the_service_refuses_stays_in_the_form(page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected.append("status of 400")
    invisible = "\u200b"
    on_page.new_task(page).fill(invisible)
    on_page.press(page, "Add")
    expect(on_page.toast(page, "title: must contain a visible character")).to_be_visible()
    expect(on_page.new_task(page)).to_have_value(invisible)
    expect(on_page.new_task(page)).to_have_attribute("aria-invalid", "true")
    assert api.list_tasks() == []
    on_page.new_task(page).press_sequentially("Buy milk")
    expect(on_page.new_task(page)).not_to_have_attribute("aria-invalid", "true")


def test_a_title_that_the_service_refuses_is_marked_in_the_edit(api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    tabs.expected.append("status of 400")
    api.create_task("Buy milk")
    page = open_page()
    on_page.edit(page, "Buy milk", Title="")
    on_page.press(page, "Save")
    expect(on_page.toast(page, "title: must be 1 to 255 characters")).to_be_visible()
    expect(on_page.field(page, "Title")).to_have_attribute("aria-invalid", "true")
    expect(on_page.field(page, "Description")).not_to_have_attribute("aria-invalid", "true")
    assert [task["title"] for task in api.list_tasks()] == ["Buy milk"]


def test_a_task_is_edited_in_place(api: Api, open_page: OpenPage) -> None:
    task = api.create_task("Buy milk", description="One litre")
    page = open_page()
    on_page.edit(page, "Buy milk", Title="Buy oat milk", Description="Two litres")
    on_page.press(page, "Save")
    expect(on_page.row(page, "Buy oat milk")).to_contain_text("Two litres")
    expect(on_page.toast(page, "Task updated")).to_be_visible()
    saved = api.get_task(task["id"])
    assert (saved["title"], saved["description"]) == ("Buy oat milk", "Two litres")


def test_enter_in_the_title_saves(api: Api, open_page: OpenPage) -> None:
    task = api.create_task("Buy milk")
    page = open_page()
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    on_page.field(page, "Title").press("Enter")
    expect(on_page.row(page, "Buy oat milk")).to_be_visible()
    assert api.get_task(task["id"])["title"] == "Buy oat milk"


@pytest.mark.parametrize("way", ["button", "key"])
def test_an_edit_is_cancelled(api: Api, open_page: OpenPage, way: str) -> None:
    task = api.create_task("Buy milk")
    page = open_page()
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    if way == "button":
        on_page.press(page, "Cancel")
    else:
        on_page.field(page, "Title").press("Escape")
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    expect(on_page.field(page, "Title")).to_be_hidden()
    assert api.history_of(task["id"])[-1]["action_type"] == "CREATED"


def test_a_description_is_emptied(api: Api, open_page: OpenPage) -> None:
    task = api.create_task("Buy milk", description="One litre")
    page = open_page()
    on_page.edit(page, "Buy milk", Description="")
    on_page.press(page, "Save")
    expect(page.get_by_text("One litre")).to_be_hidden()
    expect(on_page.toast(page, "Task updated")).to_be_visible()
    assert not api.get_task(task["id"])["description"]


def test_a_task_is_completed_and_reopened(api: Api, open_page: OpenPage) -> None:
    task = api.create_task("Older")
    api.create_task("Newer")
    page = open_page()
    mark = on_page.check_mark(page, "Newer")
    mark.check()
    expect(on_page.toast(page, "Task completed")).to_be_visible()
    on_page.expect_titles(page, ["Older", "Newer"])
    expect(mark).to_be_checked()
    assert [each["is_completed"] for each in api.list_tasks()] == [False, True]
    mark.uncheck()
    expect(on_page.toast(page, "Task reopened")).to_be_visible()
    on_page.expect_titles(page, ["Newer", "Older"])
    assert not api.get_task(task["id"])["is_completed"]


def test_a_task_is_deleted(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page()
    on_page.press(page, "Delete Buy milk")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    expect(on_page.toast(page, "Task deleted")).to_be_visible()
    assert api.list_tasks() == []


@pytest.mark.parametrize(
    ("target", "left"), [("Delete First", ["Second", "Third"]), ("First", ["Second", "Third", "First"])]
)
def test_a_double_click_changes_one_task(api: Api, open_page: OpenPage, target: str, left: list[str]) -> None:
    for title in ("Third", "Second", "First"):
        api.create_task(title)
    page = open_page()
    control = on_page.rows(page).first.get_by_label(target, exact=True)
    control.hover()
    box = control.bounding_box()
    assert box is not None
    control.click()
    on_page.expect_titles(page, left)
    # The second click of the two, on the row that has moved up.
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    on_page.expect_titles(page, left)
    assert api.history()["pagination"]["total_count"] == 4


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("MILK", ["Sell milk", "Buy milk"]),
        ("milk buy", ["Buy milk"]),
        ("3.5%", ["Sell milk"]),
        ("bread", []),
    ],
)
def test_a_search_shows_the_tasks_with_its_words(api: Api, open_page: OpenPage, words: str, found: list[str]) -> None:
    for title, description in (("Buy milk", None), ("Sell milk", "3.5% fat"), ("Buy eggs", "35 of them")):
        api.create_task(title, description=description)
    page = open_page()
    search = page.get_by_role("searchbox", name="Search tasks")
    search.fill(words)
    on_page.expect_titles(page, found)
    expect(page.get_by_text("Nothing found.")).to_be_visible(visible=not found)
    search.fill("")
    on_page.expect_titles(page, ["Buy eggs", "Sell milk", "Buy milk"])


def test_more_tasks_are_shown_page_by_page(sql: Sql, api: Api, open_page: OpenPage) -> None:
    sql(MANY, number=120)
    page = open_page()
    more = page.get_by_role("button", name="Show more")
    for shown in (50, 100):
        expect(on_page.rows(page)).to_have_count(shown)
        more.click()
    expect(on_page.rows(page)).to_have_count(120)
    expect(more).to_be_hidden()
    titles = (
        on_page.rows(page)
        .get_by_role("checkbox")
        .evaluate_all("marks => marks.map(mark => mark.closest('li').innerText.split('\\n')[0])")
    )
    assert titles == [task["title"] for task in api.list_tasks()]


def test_ten_thousand_tasks_are_no_burden(sql: Sql, open_page: OpenPage) -> None:
    sql(MANY, number=10_000)
    page = open_page()
    expect(on_page.rows(page)).to_have_count(50)
    page.get_by_role("searchbox", name="Search tasks").fill("9876")
    on_page.expect_titles(page, ["Task 9876"])
    on_page.check_mark(page, "Task 9876").check()
    expect(on_page.toast(page, "Task completed")).to_be_visible()


def test_a_task_that_is_added_to_a_long_list_is_its_first(sql: Sql, open_page: OpenPage) -> None:
    sql(MANY, number=120)
    page = open_page()
    expect(on_page.rows(page)).to_have_count(50)
    on_page.add(page, "New")
    expect(on_page.rows(page).first.get_by_role("checkbox")).to_have_accessible_name("New")
    expect(page.get_by_role("button", name="Show more")).to_be_visible()


def test_a_toast_is_dismissed(page: Page) -> None:
    on_page.add(page, "Buy milk")
    toast = on_page.toast(page, "Task created")
    toast.get_by_role("button", name="Dismiss").click()
    expect(toast).to_be_hidden()


def test_a_toast_goes_after_some_seconds_unless_somebody_is_about_to_use_it(open_page: OpenPage) -> None:
    page = open_page(toasts_stay=False)
    page.clock.install(time=0)
    # Time stands still, so that the toast waits for this test.
    page.clock.pause_at(1000)
    on_page.add(page, "Buy milk")
    toast = on_page.toast(page, "Task created")
    toast.get_by_role("button", name="Undo").focus()
    page.clock.run_for(60_000)
    expect(toast).to_be_visible()
    page.get_by_role("searchbox", name="Search tasks").focus()
    page.clock.run_for(60_000)
    expect(toast).to_be_hidden()


def test_the_buttons_of_a_task_are_seen_without_a_mouse(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 780})
    edit = page.get_by_role("button", name="Edit Buy milk")
    expect(edit).to_be_visible()
    opacity = "button => [button, button.parentElement].map(each => getComputedStyle(each).opacity)"
    assert edit.evaluate(opacity) == ["1", "1"]
    edit.tap()
    expect(on_page.field(page, "Title")).to_be_focused()
