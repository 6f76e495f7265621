"""Undo, from toasts and from the history."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api, Json
from tests.support.databases import OLD_ENTRY, Sql

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, expect

from tests.support import page as on_page
from tests.support.page_changes import add, complete, delete, rename, reopen
from tests.support.tabs import Tabs

# What a person does, the toast of it, the sentence of its entry, and the toast of its undo.
CHANGES = [
    (add, "Task created", "Task created: 'New'", "Task deleted"),
    (rename, "Task updated", "Title changed from 'Open' to 'Renamed'", "Task updated"),
    (complete, "Task completed", "Task marked as completed", "Task reopened"),
    (reopen, "Task reopened", "Task marked as incomplete", "Task completed"),
    (delete, "Task deleted", "Task deleted: 'Open'", "Task created"),
]
each_change = pytest.mark.parametrize(
    ("change", "said", "sentence", "undone"), CHANGES, ids=[change.__name__ for change, *_ in CHANGES]
)


@pytest.fixture(autouse=True)
def before(api: Api) -> list[Json]:
    """Return the tasks before the change: an open and a complete one."""
    api.complete_task(api.create_task("Complete", description="Done")["id"])
    api.create_task("Open", description="To do")
    return without_updates(api)


def without_updates(api: Api) -> list[Json]:
    return [{name: value for name, value in task.items() if name != "updated_at"} for task in api.list_tasks()]


@each_change
def test_a_change_is_undone_from_its_toast(
    page: Page, api: Api, before: list[Json], change: Callable[[Page], None], said: str, sentence: str, undone: str
) -> None:
    change(page)
    on_page.undo_from_toast(page, said)
    expect(on_page.toast(page, undone)).to_be_visible()
    on_page.expect_titles(page, ["Open", "Complete"])
    expect(on_page.check_mark(page, "Open")).not_to_be_checked()
    expect(on_page.check_mark(page, "Complete")).to_be_checked()
    assert without_updates(api) == before
    assert api.history(limit=1)["items"][0]["description"] != sentence


@each_change
def test_a_change_is_undone_from_the_history(
    page: Page, api: Api, before: list[Json], change: Callable[[Page], None], said: str, sentence: str, undone: str
) -> None:
    change(page)
    expect(on_page.toast(page, said)).to_be_visible()
    on_page.go_to(page, "History")
    on_page.open_entry(page, sentence).get_by_role("button", name="Undo", exact=True).click()
    expect(on_page.toast(page, undone)).to_be_visible()
    opened = on_page.entries(page).filter(has=page.get_by_role("table", name="Changes"))
    expect(opened).to_contain_text("Already undone.")
    assert without_updates(api) == before


def test_an_undo_is_undone(page: Page, api: Api) -> None:
    delete(page)
    on_page.undo_from_toast(page, "Task deleted")
    on_page.expect_titles(page, ["Open", "Complete"])
    on_page.undo_from_toast(page, "Task created")
    on_page.expect_titles(page, ["Complete"])
    assert [task["title"] for task in api.list_tasks()] == ["Complete"]


def test_a_second_click_on_undo_changes_nothing(page: Page, api: Api) -> None:
    rename(page)
    on_page.toast(page, "Task updated").get_by_role("button", name="Undo").dblclick()
    expect(on_page.row(page, "Open")).to_be_visible()
    expect(on_page.row(page, "Renamed")).to_be_hidden()
    assert api.history(limit=1)["pagination"]["total_count"] == 5


def test_a_second_click_does_not_undo_the_undo(page: Page) -> None:
    rename(page)
    undo = on_page.toast(page, "Task updated").get_by_role("button", name="Undo")
    undo.hover()
    page.mouse.down()
    page.mouse.up()
    # Its own toast offers Undo in the same place.
    expect(on_page.row(page, "Open")).to_be_visible()
    expect(undo).to_be_visible()
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    on_page.go_to(page, "History")
    on_page.expect_total(page, 5)
    on_page.go_to(page, "Tasks")
    on_page.expect_titles(page, ["Open", "Complete"])


def test_an_entry_says_that_it_is_undone(api: Api, open_page: OpenPage) -> None:
    api.undo(api.history(limit=1)["items"][0])
    page = open_page("history")
    opened = on_page.open_entry(page, "Task created: 'Open'")
    expect(opened).to_contain_text("Already undone.")
    expect(opened.get_by_role("button", name="Undo", exact=True)).to_be_hidden()


def test_an_entry_says_that_its_task_has_changed_since(api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    tabs.expected.append("status of 409")
    task = api.list_tasks()[0]
    api.update_task(task["id"], title="Once")
    api.update_task(task["id"], title="Twice")
    page = open_page("history")
    opened = on_page.open_entry(page, "Title changed from 'Open' to 'Once'")
    undo = opened.get_by_role("button", name="Undo", exact=True)
    sentence = opened.get_by_text("The task has changed since.")
    # The page may know it at once, or learn it from the service.
    expect(undo.or_(sentence)).to_be_visible()
    if undo.is_visible():
        undo.click()
    expect(sentence).to_be_visible()
    expect(undo).to_be_hidden()
    assert api.get_task(task["id"])["title"] == "Twice"


def test_an_entry_says_that_it_is_too_old(sql: Sql, open_page: OpenPage) -> None:
    sql(OLD_ENTRY, history_id=uuid4(), task_id=uuid4(), action="UPDATED")
    opened = on_page.open_entry(open_page("history"), "Something happened")
    expect(opened).to_contain_text("This entry is too old to be undone.")
    expect(opened.get_by_role("button", name="Undo", exact=True)).to_be_hidden()


def test_a_toast_says_why_its_undo_is_not_possible(page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected.append("status of 409")
    rename(page)
    toast = on_page.toast(page, "Task updated")
    expect(toast).to_be_visible()
    api.update_task(api.list_tasks()[0]["id"], title="By somebody else")
    toast.get_by_role("button", name="Undo").click()
    expect(on_page.toast(page, "The task has changed since")).to_be_visible()
    expect(on_page.row(page, "By somebody else")).to_be_visible()
