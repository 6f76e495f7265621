"""Answers that arrive late: what they say is older than what the page knows, or than what was typed meanwhile."""

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api, Json, data_of
from tests.support.databases import Sql
from tests.support.entries import commit_entries

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import APIResponse, Page, Route, expect

from tests.support import page as on_page

OLD_TASKS = (
    "INSERT INTO tasks SELECT gen_random_uuid(), 'Task ' || number, NULL, false, at, at, NULL"
    " FROM generate_series(1, 60) AS number, LATERAL (SELECT timestamptz '2026-03-02 08:00Z' - number * interval '1 h')"
    " AS moment (at)"
)


class LateAnswer:
    """Holds the first answer of this method to a URL with this part, until it is told to deliver it."""

    def __init__(self, page: Page, method: str, part: str) -> None:
        self._page, self._method, self._part = page, method, part
        self._held: tuple[Route, APIResponse] | None = None
        page.route("**/*", self._handle)

    def _handle(self, route: Route) -> None:
        if self._held or route.request.method != self._method or self._part not in route.request.url:
            route.fallback()
        else:
            self._held = route, route.fetch()

    def wait_for(self) -> None:
        """Return once the service has answered."""
        while self._held is None:
            self._page.wait_for_timeout(20)

    def deliver(self) -> None:
        assert self._held is not None
        route, response = self._held
        route.fulfill(response=response)


@pytest.fixture
def task(api: Api) -> Json:
    return api.create_task("Buy milk")


@pytest.fixture
def late_save(page: Page, task: Json) -> LateAnswer:
    """The answer to a save of the page, which the service has done."""
    on_page.edit(page, "Buy milk", Description="Two")
    late = LateAnswer(page, "PUT", task["id"])
    on_page.press(page, "Save")
    late.wait_for()
    return late


def test_what_is_typed_during_a_save_stays_in_the_form(page: Page, api: Api, task: Json, late_save: LateAnswer) -> None:
    on_page.field(page, "Description").fill("Two litres")
    late_save.deliver()
    expect(on_page.toast(page, "Task updated")).to_be_visible()
    expect(on_page.field(page, "Description")).to_have_value("Two litres")
    page.reload()
    expect(on_page.field(page, "Description")).to_have_value("Two litres")
    on_page.press(page, "Save")
    expect(on_page.field(page, "Description")).to_be_hidden()
    assert api.get_task(task["id"])["description"] == "Two litres"
    assert len(api.history_of(task["id"])) == 3


def test_an_edit_that_is_saved_while_another_view_is_open_is_no_conflict(
    page: Page, api: Api, task: Json, late_save: LateAnswer
) -> None:
    on_page.go_to(page, "History")
    late_save.deliver()
    expect(on_page.toast(page, "Task updated")).to_be_visible()
    on_page.go_to(page, "Tasks")
    expect(on_page.row(page, "Buy milk")).to_contain_text("Two")
    expect(on_page.field(page, "Title")).to_be_hidden()
    on_page.edit(page, "Buy milk", Description="Three")
    on_page.press(page, "Save")
    expect(on_page.row(page, "Buy milk")).to_contain_text("Three")
    assert api.get_task(task["id"])["description"] == "Three"


def test_an_entry_that_is_written_while_the_history_is_read_is_shown(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page, witness = open_page("history"), open_page("history")
    on_page.expect_total(page, 1)
    late = LateAnswer(page, "GET", "action_type=CREATED")
    page.get_by_role("combobox", name="Action").select_option("Created")
    late.wait_for()
    api.create_task("Buy bread")
    expect(on_page.entry(witness, "Buy bread")).to_be_visible()
    late.deliver()
    expect(on_page.entry(page, "Buy bread")).to_be_visible()
    on_page.expect_total(page, 2)


def test_new_entries_bring_no_older_ones_with_them(sql: Sql, open_page: OpenPage) -> None:
    commit_entries(sql, 60)
    page = open_page("history")
    expect(on_page.entries(page)).to_have_count(20)
    for number in range(1, 4):
        commit_entries(sql)
        on_page.expect_total(page, 60 + number)
        expect(on_page.entries(page)).to_have_count(20 + number)


def test_more_entries_than_a_page_are_written_at_once(sql: Sql, open_page: OpenPage) -> None:
    commit_entries(sql, 25)
    page = open_page("history")
    on_page.press(page, "Show more")
    expect(on_page.entries(page)).to_have_count(25)
    commit_entries(sql, 125)
    on_page.expect_total(page, 150)
    expect(on_page.entries(page)).to_have_count(100)
    on_page.press(page, "Show more")
    expect(on_page.entries(page)).to_have_count(150)


def test_a_page_of_tasks_does_not_bring_an_old_title_back(sql: Sql, api: Api, open_page: OpenPage) -> None:
    sql(OLD_TASKS)
    last = data_of(api.get("/tasks?limit=60"))[-1]
    page = open_page()
    # Otherwise no event tells of the change.
    expect(on_page.connection(page)).to_have_text("Live")
    late = LateAnswer(page, "GET", "cursor=")
    on_page.press(page, "Show more")
    late.wait_for()
    with page.expect_response(lambda answer: answer.url.endswith(last["id"])):
        api.update_task(last["id"], title="New title")
    late.deliver()
    expect(on_page.row(page, "New title")).to_be_visible()
    expect(on_page.row(page, last["title"])).to_have_count(0)
    expect(on_page.rows(page)).to_have_count(60)
