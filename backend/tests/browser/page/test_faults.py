"""Lost answers, a service that is too busy, and one that is killed: nothing is lost, and nothing is done twice."""

import re
import signal
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy import URL, make_url

from src.database.database import Database
from tests.browser.page.conftest import OpenPage
from tests.support.client import Api
from tests.support.databases import environment_of, settings_for
from tests.support.service import MAIN, Service, free_port

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, Route, expect

from tests.support import page as on_page
from tests.support.tabs import Tabs

TASKS = re.compile(r"/tasks(/|\?|$)")
# Longer than what the page waits for without a fault.
LONG_WAITS_NEVER_END = """{
    const setTimer = window.setTimeout;
    window.setTimeout = (work, pause, ...rest) => setTimer(work, pause > 700 ? 2 ** 31 - 1 : pause, ...rest);
}"""
NO_CONNECTION = ["net::ERR_CONNECTION", "net::ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR_EMPTY_RESPONSE"]


class LostAnswers:
    """Loses the first answer to a request of this method: the service has done it, and the page does not know."""

    def __init__(self, page: Page, method: str) -> None:
        # The headers of each request.
        self.requests: list[dict[str, str]] = []
        self._method = method
        page.route(TASKS, self._handle)

    def _handle(self, route: Route) -> None:
        if route.request.method != self._method:
            route.fallback()
            return
        self.requests.append(route.request.all_headers())
        if len(self.requests) > 1:
            route.fallback()
            return
        assert route.fetch().ok
        route.abort("connectionreset")

    def expect_same(self, *names: str) -> None:
        """Expect that the repeated request had the same headers."""
        first, *others = self.requests
        assert len(others) == 1
        for name in names:
            assert first[name] == others[0][name]


def test_a_creation_whose_answer_is_lost_makes_one_task(page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected += NO_CONNECTION
    lost = LostAnswers(page, "POST")
    on_page.add(page, "Buy milk")
    expect(on_page.toast(page, "Task created")).to_be_visible()
    lost.expect_same("idempotency-key")
    on_page.expect_titles(page, ["Buy milk"])
    assert len(api.list_tasks()) == 1


def test_two_tasks_of_the_same_title_are_two_tasks(page: Page, api: Api) -> None:
    for number in (1, 2):
        on_page.new_task(page).fill("Buy milk")
        on_page.press(page, "Add")
        expect(on_page.rows(page)).to_have_count(number)
    assert len(api.list_tasks()) == 2


def rename(page: Page) -> None:
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    on_page.press(page, "Save")


def complete(page: Page) -> None:
    on_page.check_mark(page, "Buy milk").check()


def delete(page: Page) -> None:
    on_page.press(page, "Delete Buy milk")


@pytest.mark.parametrize(
    ("change", "method", "said"),
    [(rename, "PUT", "Task updated"), (complete, "PATCH", "Task completed"), (delete, "DELETE", "Task deleted")],
    ids=["PUT", "PATCH", "DELETE"],
)
def test_a_change_whose_answer_is_lost_is_made_once(
    api: Api, open_page: OpenPage, tabs: Tabs, change: Callable[[Page], None], method: str, said: str
) -> None:
    tabs.expected += NO_CONNECTION
    task = api.create_task("Buy milk")
    page = open_page()
    lost = LostAnswers(page, method)
    change(page)
    expect(on_page.toast(page, said)).to_be_visible()
    lost.expect_same("idempotency-key")
    assert len(api.history_of(task["id"])) == 2
    # The answer to the repeated request has the entry of the first.
    expect(on_page.toast(page, said).get_by_role("button", name="Undo")).to_be_visible()


def test_an_undo_whose_answer_is_lost_is_made_once(page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected += NO_CONNECTION
    on_page.add(page, "Buy milk")
    asked: list[Route] = []

    def lose_first(route: Route) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.fallback()
            return
        assert route.fetch().ok
        route.abort("connectionreset")

    page.route("**/undo", lose_first)
    on_page.undo_from_toast(page, "Task created")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    expect(on_page.toast(page, "Task deleted")).to_be_visible()
    assert api.history()["pagination"]["total_count"] == 2


class Busy:
    """Answers requests of this method with 503 until it is over, and counts them."""

    def __init__(self, page: Page, method: str, retry_after: str = "1") -> None:
        self.requests = 0
        self._method, self._is_over = method, False
        self._retry_after = retry_after
        page.route(TASKS, self._handle)

    def _handle(self, route: Route) -> None:
        if self._is_over or route.request.method != self._method:
            route.fallback()
            return
        self.requests += 1
        headers = {"Retry-After": self._retry_after, "Content-Type": "application/json"}
        sentence = '{"success":false,"data":null,"popup":null,"error":"The database did not answer in time"}'
        route.fulfill(status=503, headers=headers, body=sentence)

    def end(self) -> None:
        self._is_over = True


def test_an_addition_waits_for_a_busy_service(page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected.append("status of 503")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    busy = Busy(page, "POST")
    on_page.new_task(page).fill("Buy milk")
    on_page.press(page, "Add")
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()
    expect(on_page.new_task(page)).to_have_value("Buy milk")
    assert api.list_tasks() == []
    busy.end()
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    expect(page.get_by_text(on_page.AWAY)).to_be_hidden()
    expect(on_page.new_task(page)).to_have_value("")
    assert len(api.list_tasks()) == 1


def test_an_addition_that_waits_while_another_view_is_open_is_made_once(page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected.append("status of 503")
    busy = Busy(page, "POST")
    on_page.new_task(page).fill("Buy milk")
    on_page.press(page, "Add")
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()
    on_page.go_to(page, "History")
    on_page.go_to(page, "Tasks")
    expect(on_page.new_task(page)).to_have_value("Buy milk")
    busy.end()
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    expect(on_page.new_task(page)).to_have_value("")
    assert len(api.list_tasks()) == 1


@pytest.mark.parametrize("retry_after", ["10", "0", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_changes_of_others_do_not_shorten_the_wait(page: Page, api: Api, tabs: Tabs, retry_after: str) -> None:
    tabs.expected.append("status of 503")
    page.add_init_script(LONG_WAITS_NEVER_END)
    page.reload()
    expect(on_page.connection(page)).to_have_text("Live")
    busy = Busy(page, "POST", retry_after)
    on_page.new_task(page).fill("Buy milk")
    on_page.press(page, "Add")
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()
    api.create_task("Buy bread")
    expect(on_page.row(page, "Buy bread")).to_be_visible()
    assert busy.requests == 1


def test_the_browser_asks_before_it_leaves_a_change_that_waits(page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected += ["status of 503", "dialog"]
    busy = Busy(page, "POST")
    on_page.new_task(page).fill("Buy milk")
    on_page.press(page, "Add")
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()
    with page.expect_event("dialog") as asked:
        page.evaluate("setTimeout(() => location.reload())")
    assert asked.value.type == "beforeunload"
    busy.end()
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    assert len(api.list_tasks()) == 1


def test_an_edit_waits_for_a_busy_service(api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    tabs.expected.append("status of 503")
    task = api.create_task("Buy milk")
    page = open_page()
    on_page.edit(page, "Buy milk", Title="Buy oat milk")
    busy = Busy(page, "PUT")
    on_page.press(page, "Save")
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()
    expect(on_page.field(page, "Title")).to_have_value("Buy oat milk")
    busy.end()
    expect(on_page.row(page, "Buy oat milk")).to_be_visible()
    assert api.get_task(task["id"])["title"] == "Buy oat milk"


def test_a_list_waits_for_a_busy_service(api: Api, open_page: OpenPage, tabs: Tabs) -> None:
    tabs.expected.append("status of 503")
    api.create_task("Buy milk")
    page = open_page("history")
    on_page.expect_total(page, 1)
    busy = Busy(page, "GET")
    page.get_by_role("link", name="Tasks").click()
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()
    busy.end()
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    expect(page.get_by_text(on_page.AWAY)).to_be_hidden()


def test_an_addition_waits_for_the_database(live_app: tuple[FastAPI, str], page: Page, api: Api, tabs: Tabs) -> None:
    tabs.expected.append("status of 503")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    state = live_app[0].state
    nowhere = make_url(f"postgresql://someone@127.0.0.1:{free_port()}/tasks")
    database, state.database = state.database, Database(settings_for(nowhere, repeat_budget_s=0.1))
    on_page.new_task(page).fill("Buy milk")
    on_page.press(page, "Add")
    expect(page.get_by_text(on_page.AWAY)).to_be_visible()
    state.database = database
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    assert len(api.list_tasks()) == 1


@pytest.mark.parametrize("form", ["New task", "Title"])
def test_what_is_typed_outlives_a_reload(api: Api, open_page: OpenPage, form: str) -> None:
    api.create_task("Buy milk")
    page = open_page()
    if form == "Title":
        on_page.edit(page, "Buy milk")
    on_page.field(page, form).fill("Half of a ti")
    page.reload()
    expect(on_page.field(page, form)).to_have_value("Half of a ti")


class Mortal:
    """A service that is killed and comes back on the same port and with the same data."""

    def __init__(self, url: URL) -> None:
        self._url, self._port = environment_of(url), str(free_port())
        self.address = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        self._service = Service(MAIN, DATABASE_URL=self._url, PORT=self._port)
        self._service.wait_until_up().close()

    def kill(self) -> None:
        if self._service.process.poll() is None:
            assert self._service.stop(signal.SIGKILL) == -signal.SIGKILL


@pytest.fixture
def mortal(database_url: URL) -> Iterator[Mortal]:
    mortal = Mortal(database_url)
    yield mortal
    mortal.kill()


@pytest.fixture
def survivor(mortal: Mortal, api: Api, tabs: Tabs) -> Page:
    """A tab of a service that is killed. Another service, `api`, has the same data, and lives on."""
    tabs.expected += [*NO_CONNECTION, "status of 503"]
    api.create_task("Buy milk")
    page = tabs.open(mortal.address)
    expect(on_page.connection(page)).to_have_text("Live")
    on_page.edit(page, "Buy milk", Title="Half of a ti")
    on_page.new_task(page).fill("Buy bread")
    mortal.kill()
    expect(on_page.connection(page)).to_have_text("Away")
    return page


def test_what_is_typed_outlives_the_service(mortal: Mortal, survivor: Page) -> None:
    mortal.start()
    expect(on_page.connection(survivor)).to_have_text("Live")
    expect(on_page.new_task(survivor)).to_have_value("Buy bread")
    expect(on_page.field(survivor, "Title")).to_have_value("Half of a ti")


def test_an_addition_waits_until_the_service_is_back(mortal: Mortal, survivor: Page, api: Api) -> None:
    on_page.press(survivor, "Add")
    expect(survivor.get_by_text(on_page.AWAY)).to_be_visible()
    mortal.start()
    expect(on_page.row(survivor, "Buy bread")).to_be_visible()
    expect(on_page.toast(survivor, "Task created")).to_be_visible()
    expect(survivor.get_by_text(on_page.AWAY)).to_be_hidden()
    assert sorted(task["title"] for task in api.list_tasks()) == ["Buy bread", "Buy milk"]


def test_an_edit_waits_until_the_service_is_back(mortal: Mortal, survivor: Page, api: Api) -> None:
    on_page.press(survivor, "Save")
    expect(survivor.get_by_text(on_page.AWAY)).to_be_visible()
    mortal.start()
    expect(on_page.row(survivor, "Half of a ti")).to_be_visible()
    assert [task["title"] for task in api.list_tasks()] == ["Half of a ti"]


def test_changes_that_the_page_missed_appear(mortal: Mortal, survivor: Page, api: Api) -> None:
    api.create_task("Missed")
    mortal.start()
    expect(on_page.row(survivor, "Missed")).to_be_visible()


def test_more_changes_than_the_service_repeats_were_missed(mortal: Mortal, survivor: Page, api: Api) -> None:
    for number in range(1001):
        api.create_task(f"Missed {number}")
    mortal.start()
    expect(on_page.row(survivor, "Missed 1000")).to_be_visible()
    expect(on_page.field(survivor, "Title")).to_have_value("Half of a ti")


def test_a_page_that_is_opened_too_early_waits(mortal: Mortal, api: Api, tabs: Tabs) -> None:
    tabs.expected += NO_CONNECTION
    page = tabs.open(mortal.address)
    on_page.go_to(page, "History")
    mortal.kill()
    expect(on_page.connection(page)).to_have_text("Away")
    api.create_task("Buy milk")
    page.get_by_role("link", name="Tasks").click()
    mortal.start()
    expect(on_page.row(page, "Buy milk")).to_be_visible()
    expect(on_page.connection(page)).to_have_text("Live")
