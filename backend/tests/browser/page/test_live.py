"""What others change appears in the page without a reload."""

from collections.abc import Callable

import pytest
from sqlalchemy import URL

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api
from tests.support.databases import Sql, transaction

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, expect

from tests.support import page as on_page
from tests.support.page_changes import add, complete, delete, rename, reopen

# A task and its entry, written as another program would, in one statement.
TASK_OF_ANOTHER_PROGRAM = (
    "WITH task AS (INSERT INTO tasks SELECT gen_random_uuid(), 'From SQL', NULL, false, now, now, NULL"
    " FROM now() RETURNING *) INSERT INTO task_history (history_id, task_id, action_type, description, timestamp,"
    " task_title) SELECT gen_random_uuid(), id, 'CREATED', 'Task created: ''From SQL''', created_at, title FROM task"
)

SET_HIDDEN = """isHidden => {
    Object.defineProperty(document, 'hidden', {configurable: true, value: isHidden});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


# What a person does in one tab, and the titles in another one afterwards, with those of complete tasks in brackets.
CHANGES: dict[Callable[[Page], None], list[str]] = {
    add: ["New", "Open", "(Complete)"],
    rename: ["Renamed", "(Complete)"],
    complete: ["(Open)", "(Complete)"],
    reopen: ["Open", "Complete"],
    delete: ["(Complete)"],
}


@pytest.fixture
def two_tabs(api: Api, open_page: OpenPage) -> tuple[Page, Page]:
    """Two tabs that show an open and a complete task, and are told of changes."""
    api.complete_task(api.create_task("Complete")["id"])
    api.create_task("Open")
    pages = open_page(), open_page()
    for page in pages:
        expect(on_page.connection(page)).to_have_text("Live")
        expect_tasks(page, ["Open", "(Complete)"])
    return pages


def expect_tasks(page: Page, tasks: list[str]) -> None:
    on_page.expect_titles(page, [task.strip("()") for task in tasks])
    for number, task in enumerate(tasks):
        expect(on_page.rows(page).nth(number).get_by_role("checkbox")).to_be_checked(checked=task.startswith("("))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_tab_shows_each_change(two_tabs: tuple[Page, Page], change: Callable[[Page], None]) -> None:
    one, another = two_tabs
    change(one)
    for page in (another, one):
        expect_tasks(page, CHANGES[change])


def test_another_tab_shows_an_undo(two_tabs: tuple[Page, Page]) -> None:
    one, another = two_tabs
    delete(one)
    expect_tasks(another, ["(Complete)"])
    on_page.undo_from_toast(one, "Task deleted")
    expect_tasks(another, ["Open", "(Complete)"])


def test_a_new_description_appears(two_tabs: tuple[Page, Page]) -> None:
    one, another = two_tabs
    rename(one)
    expect(on_page.row(another, "Renamed")).to_contain_text("Described")


def test_a_change_of_another_caller_appears(two_tabs: tuple[Page, Page], api: Api) -> None:
    api.create_task("From elsewhere")
    for page in two_tabs:
        expect_tasks(page, ["From elsewhere", "Open", "(Complete)"])


def test_a_change_that_another_program_wrote_by_sql_appears(two_tabs: tuple[Page, Page], sql: Sql) -> None:
    sql(TASK_OF_ANOTHER_PROGRAM)
    for page in two_tabs:
        expect_tasks(page, ["From SQL", "Open", "(Complete)"])


def test_a_change_that_was_committed_late_appears(two_tabs: tuple[Page, Page], api: Api, database_url: URL) -> None:
    with transaction(database_url, TASK_OF_ANOTHER_PROGRAM):
        api.create_task("Meanwhile")
        for page in two_tabs:
            expect_tasks(page, ["Meanwhile", "Open", "(Complete)"])
    for page in two_tabs:
        expect(on_page.rows(page)).to_have_count(4)
        expect(on_page.row(page, "From SQL")).to_be_visible()


def test_many_changes_at_once_appear(two_tabs: tuple[Page, Page], sql: Sql) -> None:
    sql(TASK_OF_ANOTHER_PROGRAM.replace("FROM now()", "FROM now(), generate_series(1, 30)"))
    for page in two_tabs:
        expect(on_page.rows(page)).to_have_count(32)


def test_more_changes_than_the_service_repeats_appear(two_tabs: tuple[Page, Page], sql: Sql) -> None:
    sql(TASK_OF_ANOTHER_PROGRAM.replace("FROM now()", "FROM now(), generate_series(1, 1500)"))
    for page in two_tabs:
        expect(on_page.rows(page)).to_have_count(50)
        expect(page.get_by_role("button", name="Show more")).to_be_visible()


def test_the_history_shows_new_entries_at_its_top(api: Api, open_page: OpenPage) -> None:
    api.create_task("Older")
    page = open_page("history")
    expect(on_page.connection(page)).to_have_text("Live")
    on_page.expect_total(page, 1)
    api.create_task("Newer")
    expect(on_page.entries(page).first).to_contain_text("Task created: 'Newer'")
    on_page.expect_total(page, 2)


def test_the_history_shows_only_new_entries_that_its_filters_let_through(api: Api, open_page: OpenPage) -> None:
    task = api.create_task("Buy milk")
    page = open_page("history")
    expect(on_page.connection(page)).to_have_text("Live")
    page.get_by_role("combobox", name="Action").select_option("Completed")
    on_page.expect_total(page, 0)
    api.reopen_task(api.complete_task(task["id"])["id"])
    api.complete_task(task["id"])
    on_page.expect_total(page, 2)
    expect(on_page.entries(page)).to_have_count(2)
    for entry in on_page.entries(page).all():
        expect(entry).to_contain_text("Task marked as completed")


def test_the_history_searches_again_when_something_changes(api: Api, open_page: OpenPage) -> None:
    page = open_page("history")
    expect(on_page.connection(page)).to_have_text("Live")
    page.get_by_role("searchbox", name="Search history").fill("milk created")
    on_page.expect_total(page, 0)
    for title in ("Buy milk", "Buy bread"):
        api.create_task(title)
    on_page.expect_total(page, 1)
    expect(on_page.entries(page)).to_contain_text(["Task created: 'Buy milk'"])


def test_an_open_entry_stays_open_when_something_changes(api: Api, open_page: OpenPage) -> None:
    api.create_task("Older")
    page = open_page("history")
    expect(on_page.connection(page)).to_have_text("Live")
    on_page.open_entry(page, "Task created: 'Older'")
    api.create_task("Newer")
    expect(on_page.entries(page)).to_have_count(2)
    expect(on_page.entry(page, "Task created: 'Older'").get_by_role("table", name="Changes")).to_be_visible()


def test_the_week_counts_what_changes(api: Api, open_page: OpenPage) -> None:
    page = open_page("week")
    expect(on_page.connection(page)).to_have_text("Live")
    numbers = page.locator("main dl dd")
    expect(numbers.last).to_have_text("0")
    api.complete_task(api.create_task()["id"])
    expect(numbers.last).to_have_text("1")
    total = page.get_by_role("table", name="Days of the week").get_by_role("cell", name="2", exact=True)
    expect(total).to_have_count(1)


def test_a_change_takes_neither_the_text_nor_the_focus_of_somebody_who_types(
    two_tabs: tuple[Page, Page], api: Api
) -> None:
    one, _ = two_tabs
    task = next(task for task in api.list_tasks() if task["title"] == "Open")
    on_page.edit(one, "Open", Title="Half of a ti")
    api.update_task(task["id"], description="Changed by somebody else")
    api.create_task("New")
    expect(on_page.check_mark(one, "New")).to_be_visible()
    expect(on_page.field(one, "Title")).to_have_value("Half of a ti")
    expect(on_page.field(one, "Title")).to_be_focused()


def test_a_new_task_does_not_move_what_somebody_reads(sql: Sql, api: Api, open_page: OpenPage) -> None:
    sql(TASK_OF_ANOTHER_PROGRAM.replace("FROM now()", "FROM now(), generate_series(1, 40)"))
    page = open_page()
    expect(on_page.connection(page)).to_have_text("Live")
    last = on_page.rows(page).nth(39)
    last.scroll_into_view_if_needed()
    marked = last.evaluate_handle("row => row")
    before = marked.evaluate("row => row.getBoundingClientRect().top")
    api.create_task("New")
    expect(on_page.check_mark(page, "New")).to_be_attached()
    assert abs(marked.evaluate("row => row.getBoundingClientRect().top") - before) < 2


def test_a_hidden_page_lets_go_of_its_connection_and_catches_up(api: Api, open_page: OpenPage) -> None:
    """A browser has six connections for one host, so a seventh tab would get none."""
    page = open_page()
    expect(on_page.connection(page)).to_have_text("Live")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        page.evaluate(SET_HIDDEN, True)
    api.create_task("Missed")
    page.evaluate(SET_HIDDEN, False)
    expect(on_page.row(page, "Missed")).to_be_visible()
    expect(on_page.connection(page)).to_have_text("Live")
