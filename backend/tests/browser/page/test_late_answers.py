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
    """Holds the first request of this method to a URL with this part, and then its answer."""

    def __init__(self, page: Page, method: str, part: str) -> None:
        self._page, self._method, self._part = page, method, part
        self._route: Route | None = None
        self._response: APIResponse | None = None
        page.route("**/*", self._handle)

    def _handle(self, route: Route) -> None:
        if self._route or route.request.method != self._method or self._part not in route.request.url:
            route.fallback()
        else:
            self._route = route

    def wait_for_request(self) -> Route:
        """Return once the page has sent the request, which the service has not seen yet."""
        while self._route is None:
            self._page.wait_for_timeout(20)
        return self._route

    def wait_for(self) -> None:
        """Return once the service has answered."""
        self._response = self.wait_for_request().fetch()

    def deliver(self) -> None:
        """Let the page have the answer, and return when it has taken it."""
        self.wait_for_request().fulfill(response=self._response)
        # This answer comes after that one.
        self._page.evaluate("fetch('health').then((answer) => answer.text())")


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


@pytest.fixture
def old_tasks(sql: Sql, open_page: OpenPage) -> Page:
    """The first page of the list of 60 old tasks, while it follows the events."""
    sql(OLD_TASKS)
    page = open_page()
    expect(on_page.rows(page)).to_have_count(50)
    expect(on_page.connection(page)).to_have_text("Live")
    return page


def test_a_list_that_was_read_before_more_was_shown_has_the_rest(old_tasks: Page) -> None:
    on_page.go_to(old_tasks, "History")
    late = LateAnswer(old_tasks, "GET", "tasks?limit=50")
    on_page.go_to(old_tasks, "Tasks")
    late.wait_for()
    on_page.press(old_tasks, "Show more")
    expect(on_page.rows(old_tasks)).to_have_count(60)
    late.deliver()
    expect(old_tasks.get_by_role("button", name="Show more")).to_be_hidden()
    expect(on_page.rows(old_tasks)).to_have_count(60)


def test_a_late_page_does_not_enter_a_search(old_tasks: Page) -> None:
    more = LateAnswer(old_tasks, "GET", "cursor=")
    on_page.press(old_tasks, "Show more")
    more.wait_for()
    on_page.go_to(old_tasks, "History")
    with old_tasks.expect_response(lambda answer: answer.url.endswith("tasks?limit=50")):
        on_page.go_to(old_tasks, "Tasks")
    search = LateAnswer(old_tasks, "GET", "q=")
    old_tasks.get_by_role("searchbox", name="Search tasks").fill("Task 59")
    search.wait_for()
    more.deliver()
    search.deliver()
    on_page.expect_titles(old_tasks, ["Task 59"])


def test_a_late_task_does_not_enter_a_search(api: Api, task: Json, page: Page) -> None:
    expect(on_page.connection(page)).to_have_text("Live")
    late = LateAnswer(page, "GET", "/tasks/")
    api.create_task("Buy bread")
    late.wait_for()
    with page.expect_response(lambda answer: "q=milk" in answer.url):
        page.get_by_role("searchbox", name="Search tasks").fill("milk")
    late.deliver()
    on_page.expect_titles(page, ["Buy milk"])


def test_a_task_that_came_back_outlives_a_list_without_it(api: Api, task: Json, page: Page) -> None:
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    on_page.go_to(page, "History")
    api.delete_task(task["id"])
    expect(on_page.entry(page, "Task deleted")).to_be_visible()
    late = LateAnswer(page, "GET", "tasks?limit=50")
    on_page.go_to(page, "Tasks")
    late.wait_for()
    with page.expect_response(lambda answer: answer.url.endswith(task["id"])):
        api.undo(api.history(limit=1)["items"][0])
    late.deliver()
    on_page.expect_titles(page, ["Buy milk"])


def test_a_task_that_came_back_outlives_a_late_404(api: Api, task: Json, page: Page) -> None:
    on_page.edit(page, "Buy milk")
    late = LateAnswer(page, "GET", task["id"])
    on_page.press(page, "Cancel")
    late.wait_for_request()
    on_page.press(page, "Delete Buy milk")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    late.wait_for()
    on_page.undo_from_toast(page, "Task deleted")
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    late.deliver()
    on_page.expect_titles(page, ["Buy milk"])
    assert [task["title"] for task in api.list_tasks()] == ["Buy milk"]


def test_the_file_of_a_week_is_not_offered_beside_another_week(page: Page) -> None:
    on_page.go_to(page, "Week")
    download = page.get_by_role("button", name="Download CSV")
    expect(download).to_be_enabled()
    late = LateAnswer(page, "GET", "stats/weekly")
    on_page.press(page, "Previous week")
    late.wait_for()
    expect(download).to_be_disabled()
    late.deliver()
    expect(download).to_be_enabled()


def test_a_page_of_tasks_does_not_bring_an_old_title_back(api: Api, old_tasks: Page) -> None:
    last = data_of(api.get("/tasks?limit=60"))[-1]
    late = LateAnswer(old_tasks, "GET", "cursor=")
    on_page.press(old_tasks, "Show more")
    late.wait_for()
    with old_tasks.expect_response(lambda answer: answer.url.endswith(last["id"])):
        api.update_task(last["id"], title="New title")
    late.deliver()
    expect(on_page.row(old_tasks, "New title")).to_be_visible()
    expect(on_page.row(old_tasks, last["title"])).to_have_count(0)
    expect(on_page.rows(old_tasks)).to_have_count(60)
