"""Two tabs that edit the same task."""

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api, Json

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Locator, Page, Route, expect

from tests.support import page as on_page
from tests.support.tabs import Tabs

CHANGED = "Somebody else changed this task while you were editing."
DELETED = "Somebody else deleted this task."


@pytest.fixture
def task(api: Api) -> Json:
    return api.create_task("Old title", description="Old text")


@pytest.fixture
def late(task: Json, open_page: OpenPage, tabs: Tabs) -> Page:
    """A tab whose edit of the task another tab has overtaken."""
    tabs.expected.append("status of 412")
    late, early = open_page(), open_page()
    on_page.edit(late, "Old title", Title="My title", Description="My text")
    on_page.edit(early, "Old title", Title="Their title", Description="Their text")
    on_page.press(early, "Save")
    expect(on_page.row(early, "Their title")).to_be_visible()
    on_page.press(late, "Save")
    return late


@pytest.fixture
def bereft(task: Json, api: Api, open_page: OpenPage) -> Page:
    """A tab whose task somebody deleted during its edit."""
    page = open_page()
    on_page.edit(page, "Old title", Title="My title", Description="My text")
    api.delete_task(task["id"])
    on_page.press(page, "Save")
    return page


def alert(page: Page, sentence: str) -> Locator:
    return page.get_by_role("alert").filter(has_text=sentence)


def test_the_second_to_save_sees_both_versions(late: Page, api: Api, task: Json) -> None:
    form = on_page.rows(late).filter(has=alert(late, CHANGED))
    expect(form).to_contain_text("Their title")
    expect(form).to_contain_text("Their text")
    expect(on_page.field(late, "Title")).to_have_value("My title")
    expect(on_page.field(late, "Description")).to_have_value("My text")
    assert api.get_task(task["id"])["title"] == "Their title"


def test_the_second_to_save_insists(late: Page, api: Api, task: Json) -> None:
    on_page.press(late, "Save mine")
    expect(on_page.row(late, "My title")).to_contain_text("My text")
    saved = api.get_task(task["id"])
    assert (saved["title"], saved["description"]) == ("My title", "My text")


def test_the_second_to_save_gives_way(late: Page, api: Api, task: Json) -> None:
    on_page.press(late, "Take theirs")
    expect(on_page.row(late, "Their title")).to_contain_text("Their text")
    expect(on_page.field(late, "Title")).to_be_hidden()
    assert api.get_task(task["id"])["title"] == "Their title"
    assert len(api.history_of(task["id"])) == 2


def test_whoever_insists_on_an_old_version_again_is_asked_again(late: Page, api: Api, task: Json) -> None:
    expect(alert(late, CHANGED)).to_be_visible()
    api.update_task(task["id"], title="Their second title")
    on_page.press(late, "Save mine")
    theirs = on_page.rows(late).filter(has=alert(late, CHANGED)).get_by_role("definition").first
    expect(theirs).to_have_text("Their second title")
    on_page.press(late, "Save mine")
    expect(on_page.row(late, "My title")).to_be_visible()
    assert api.get_task(task["id"])["title"] == "My title"


def test_a_change_of_something_else_is_no_conflict(task: Json, api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    tabs.expected.append("status of 412")
    page = open_page()
    on_page.edit(page, "Old title", Title="My title")
    api.complete_task(task["id"])
    on_page.press(page, "Save")
    expect(on_page.check_mark(page, "My title")).to_be_checked()
    expect(alert(page, CHANGED)).to_be_hidden()
    saved = api.get_task(task["id"])
    assert (saved["title"], saved["description"], saved["is_completed"]) == ("My title", "Old text", True)


def test_no_key_decides_before_the_user_has_read(late: Page, api: Api, task: Json) -> None:
    expect(alert(late, CHANGED)).to_be_focused()
    late.keyboard.press("Enter")
    late.keyboard.press("Escape")
    on_page.field(late, "Description").press("Escape")
    expect(on_page.field(late, "Description")).to_have_value("My text")
    assert api.get_task(task["id"])["title"] == "Their title"


def test_a_field_that_only_somebody_else_changed_is_theirs(
    task: Json, api: Api, open_page: OpenPage, tabs: Tabs
) -> None:
    tabs.expected.append("status of 412")
    page = open_page()
    on_page.edit(page, "Old title", Title="My title")
    api.update_task(task["id"], description="Their text")
    on_page.press(page, "Save")
    expect(on_page.row(page, "My title")).to_contain_text("Their text")
    expect(alert(page, CHANGED)).to_be_hidden()
    saved = api.get_task(task["id"])
    assert (saved["title"], saved["description"]) == ("My title", "Their text")


def test_whoever_insists_on_a_title_leaves_the_description(
    task: Json, api: Api, open_page: OpenPage, tabs: Tabs
) -> None:
    tabs.expected.append("status of 412")
    page = open_page()
    on_page.edit(page, "Old title", Title="My title")
    api.update_task(task["id"], title="Their title", description="Their text")
    on_page.press(page, "Save")
    on_page.press(page, "Save mine")
    expect(on_page.row(page, "My title")).to_contain_text("Their text")
    saved = api.get_task(task["id"])
    assert (saved["title"], saved["description"]) == ("My title", "Their text")


def test_a_task_that_somebody_deleted_is_added_as_a_new_one(bereft: Page, api: Api, task: Json) -> None:
    expect(alert(bereft, DELETED)).to_be_visible()
    on_page.press(bereft, "Add as new")
    expect(on_page.row(bereft, "My title")).to_contain_text("My text")
    on_page.expect_titles(bereft, ["My title"])
    (added,) = api.list_tasks()
    assert (added["title"], added["description"]) == ("My title", "My text")
    assert added["id"] != task["id"]


def test_the_edit_of_a_task_that_somebody_deleted_is_discarded(bereft: Page, api: Api) -> None:
    expect(alert(bereft, DELETED)).to_be_visible()
    on_page.press(bereft, "Discard")
    expect(bereft.get_by_text("No tasks yet.")).to_be_visible()
    expect(on_page.field(bereft, "Title")).to_be_hidden()
    assert api.list_tasks() == []


def test_nobody_deletes_a_task_that_they_have_not_seen(task: Json, api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    tabs.expected.append("status of 412")
    page = open_page()
    expect(on_page.row(page, "Old title")).to_be_visible()

    def change_first(route: Route) -> None:
        if route.request.method == "DELETE":
            api.update_task(task["id"], title="New")
        route.fallback()

    page.route(f"**/tasks/{task['id']}", change_first)
    on_page.press(page, "Delete Old title")
    expect(on_page.row(page, "New")).to_be_visible()
    assert api.get_task(task["id"])["title"] == "New"
