"""No barrier in any state of the page: in light and dark, on a telephone and on a large screen."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from sqlalchemy import URL

from main import create_app
from tests.browser.page.conftest import OpenPage
from tests.support.client import Api
from tests.support.databases import OLD_ENTRY, Sql, settings_for
from tests.support.live_server import serve

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")
pytest.importorskip("axe_playwright_python", reason="needs axe: pip install -r requirements-test.txt")

from playwright.sync_api import Page, expect

from tests.support import page as on_page
from tests.support.axe import barriers
from tests.support.tabs import Tabs

WIDTHS_PX = (360, 1600)


def expect_no_barriers(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS_PX:
            page.set_viewport_size({"width": width, "height": 900})
            assert barriers(page) == [], f"{scheme}, {width} px"


def tasks(page: Page, api: Api) -> None:
    expect(on_page.row(page, "Buy milk")).to_be_visible()


def search_without_result(page: Page, api: Api) -> None:
    page.get_by_role("searchbox", name="Search tasks").fill("nowhere")
    expect(page.get_by_text("Nothing found.")).to_be_visible()


def edit_form(page: Page, api: Api) -> None:
    on_page.edit(page, "Buy milk", Title="Buy oat milk")


def conflict(page: Page, api: Api) -> None:
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    (task,) = (task for task in api.list_tasks() if task["title"] == "Buy milk")
    api.update_task(task["id"], title="Buy bread")
    on_page.press(page, "Save")
    expect(page.get_by_role("button", name="Save mine")).to_be_visible()


def deleted_meanwhile(page: Page, api: Api) -> None:
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    (task,) = (task for task in api.list_tasks() if task["title"] == "Buy milk")
    api.delete_task(task["id"])
    on_page.press(page, "Save")
    expect(page.get_by_role("button", name="Add as new")).to_be_visible()


def toasts(page: Page, api: Api) -> None:
    on_page.add(page, "New")
    on_page.press(page, "Delete New")
    expect(on_page.toast(page, "Task created")).to_be_visible()
    expect(on_page.toast(page, "Task deleted")).to_be_visible()


def away(page: Page, api: Api) -> None:
    page.route("**/tasks", lambda route: route.abort("connectionrefused"))
    on_page.new_task(page).fill("New")
    on_page.press(page, "Add")
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()


def history(page: Page, api: Api) -> None:
    on_page.go_to(page, "History")
    on_page.expect_total(page, 4)


def filtered_history(page: Page, api: Api) -> None:
    on_page.go_to(page, "History")
    on_page.open_entry(page, "Task marked as completed").get_by_role("button", name="Only this task").click()
    page.get_by_role("combobox", name="Action").select_option("Completed")
    page.get_by_label("From", exact=True).fill("2026-01-01")
    on_page.expect_total(page, 1)


def open_entries(page: Page, api: Api) -> None:
    on_page.go_to(page, "History")
    for sentence in ("Task created: 'Buy milk'", "Task marked as completed", "Something happened"):
        on_page.open_entry(page, sentence)
    expect(page.get_by_role("table", name="Changes")).to_have_count(2)
    expect(page.get_by_text("This entry is too old to be undone.")).to_be_visible()


def week(page: Page, api: Api) -> None:
    on_page.go_to(page, "Week")
    expect(page.get_by_role("table", name="Days of the week").get_by_role("row")).to_have_count(8)


STATES: list[Callable[[Page, Api], None]] = [
    tasks,
    search_without_result,
    edit_form,
    conflict,
    deleted_meanwhile,
    toasts,
    away,
    history,
    filtered_history,
    open_entries,
    week,
]


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
def test_axe_finds_no_barrier(
    api: Api, sql: Sql, open_page: OpenPage, tabs: Tabs, reach: Callable[[Page, Api], None]
) -> None:
    tabs.expected += ["status of 412", "net::ERR_CONNECTION_REFUSED"]
    sql(OLD_ENTRY, history_id=uuid4(), task_id=uuid4(), action="UPDATED")
    api.create_task("Buy milk", description="Two litres, of oats if there is any")
    api.complete_task(api.create_task("Call the dentist")["id"])
    page = open_page()
    reach(page, api)
    expect_no_barriers(page)


def test_axe_finds_no_barrier_in_empty_views(open_page: OpenPage) -> None:
    for view in ("tasks", "history", "week"):
        page = open_page(view)
        expect(on_page.connection(page)).to_have_text("Live")
        expect_no_barriers(page)


@pytest.fixture
def locked(database_url: URL) -> Iterator[str]:
    """The address of a service that asks for a key."""
    with serve(create_app(settings_for(database_url, api_key="a-key-of-these-tests"))) as (_, address):
        yield address


def test_axe_finds_no_barrier_in_the_dialog(locked: str, tabs: Tabs) -> None:
    tabs.expected.append("status of 401")
    page = tabs.open(locked)
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_be_visible()
    expect_no_barriers(page)
    dialog.get_by_label("API key", exact=True).fill("wrong")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("That key is not accepted.")
    expect_no_barriers(page)


def test_nothing_moves_for_those_who_want_no_motion(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page(reduced_motion="reduce")
    on_page.check_mark(page, "Buy milk").check()
    expect(on_page.toast(page, "Task completed")).to_be_visible()
    # Some animate for a hundredth of a millisecond instead, so that events of animations still come.
    longest_ms = "Math.max(0, ...document.getAnimations().map(each => each.effect.getComputedTiming().duration))"
    assert page.evaluate(longest_ms) <= 1
