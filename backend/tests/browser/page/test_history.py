"""The History view."""

import re
from uuid import uuid4

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api
from tests.support.databases import AS_REPLICA, Sql

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, expect

from tests.support import page as on_page

SENTENCES = {
    "Created": "Task created: 'Buy milk'",
    "Updated": "Title changed from 'Buy milk' to 'Buy oat milk'",
    "Completed": "Task marked as completed",
    "Reopened": "Task marked as incomplete",
    "Deleted": "Task deleted: 'Buy oat milk'",
}
ENTRIES = (
    f"{AS_REPLICA}INSERT INTO task_history (history_id, task_id, action_type, description, timestamp, task_title)"
    " SELECT gen_random_uuid(), gen_random_uuid(), 'UPDATED', 'At ' || at, cast(at AS timestamptz), 'x'"
    " FROM unnest(cast(:times AS text[])) AS at"
)
# The bounds of 2 and 3 March in Kolkata, five and a half hours before UTC, with a moment before and after each.
AROUND_MIDNIGHTS = [
    "2026-03-01T18:29:59.9Z",
    "2026-03-01T18:30:00Z",
    "2026-03-02T18:29:59.9Z",
    "2026-03-02T18:30:00Z",
    "2026-03-03T18:29:59.9Z",
    "2026-03-03T18:30:00Z",
]


def make_history(api: Api) -> str:
    """Change a task in each way, and return its id."""
    task_id: str = api.create_task("Buy milk")["id"]
    api.update_task(task_id, title="Buy oat milk")
    api.complete_task(task_id)
    api.reopen_task(task_id)
    api.delete_task(task_id)
    return task_id


def expect_sentences(page: Page, sentences: list[str]) -> None:
    expect(on_page.entries(page)).to_have_count(len(sentences))
    for number, sentence in enumerate(sentences):
        expect(on_page.entries(page).nth(number)).to_contain_text(sentence)


def test_all_entries_are_listed_newest_first(api: Api, open_page: OpenPage) -> None:
    make_history(api)
    page = open_page("history")
    expect_sentences(page, list(reversed(SENTENCES.values())))
    on_page.expect_total(page, 5)


@pytest.mark.parametrize("action", SENTENCES)
def test_the_entries_of_an_action_are_listed(api: Api, open_page: OpenPage, action: str) -> None:
    make_history(api)
    page = open_page("history")
    actions = page.get_by_role("combobox", name="Action")
    actions.select_option(action)
    expect_sentences(page, [SENTENCES[action]])
    on_page.expect_total(page, 1)
    actions.select_option("All actions")
    on_page.expect_total(page, 5)


def test_the_entries_of_a_task_are_listed(api: Api, open_page: OpenPage) -> None:
    api.create_task("Another")
    make_history(api)
    page = open_page("history")
    on_page.open_entry(page, SENTENCES["Completed"]).get_by_role("button", name="Only this task").click()
    on_page.expect_total(page, 5)
    expect(on_page.entry(page, "Another")).to_be_hidden()
    on_page.press(page, "Show all tasks")
    on_page.expect_total(page, 6)
    expect(on_page.entry(page, "Another")).to_be_visible()


def test_a_search_finds_entries_by_their_words(api: Api, open_page: OpenPage) -> None:
    api.create_task("Another")
    make_history(api)
    page = open_page("history")
    search = page.get_by_role("searchbox", name="Search history")
    search.fill("OAT completed")
    expect_sentences(page, [SENTENCES["Completed"]])
    on_page.expect_total(page, 1)
    search.fill("nowhere")
    on_page.expect_total(page, 0)
    expect(on_page.entries(page)).to_have_count(0)


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        ("2026-03-02", "2026-03-02", AROUND_MIDNIGHTS[1:3]),
        ("2026-03-02", "2026-03-03", AROUND_MIDNIGHTS[1:5]),
        ("2026-03-03", "", AROUND_MIDNIGHTS[3:]),
        ("", "2026-03-02", AROUND_MIDNIGHTS[:3]),
    ],
)
def test_both_dates_are_days_of_the_reader(
    sql: Sql, open_page: OpenPage, first: str, last: str, found: list[str]
) -> None:
    sql(ENTRIES, times=AROUND_MIDNIGHTS)
    page = open_page("history", timezone_id="Asia/Kolkata")
    page.get_by_label("From", exact=True).fill(first)
    page.get_by_label("To", exact=True).fill(last)
    expect_sentences(page, [f"At {time}" for time in reversed(found)])
    on_page.expect_total(page, len(found))


def test_an_opened_entry_shows_what_it_changed(api: Api, open_page: OpenPage) -> None:
    task = api.create_task("Buy milk", description="One litre")
    api.update_task(task["id"], title="Buy oat milk", description="Two litres")
    page = open_page("history")
    changes = on_page.open_entry(page, "Title changed").get_by_role("table", name="Changes")
    expect(changes.get_by_role("columnheader")).to_have_text(["Field", "Before", "After"])
    expect(changes.get_by_role("row")).to_have_text(
        [
            re.compile("Field.*Before.*After", re.DOTALL),
            re.compile("Title.*Buy milk.*Buy oat milk", re.DOTALL | re.IGNORECASE),
            re.compile("Description.*One litre.*Two litres", re.DOTALL | re.IGNORECASE),
        ]
    )


def test_an_entry_is_closed_again(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page("history")
    opened = on_page.open_entry(page, SENTENCES["Created"])
    expect(page.get_by_role("table", name="Changes")).to_be_visible()
    opened.get_by_role("button", name=SENTENCES["Created"]).click()
    expect(page.get_by_role("table", name="Changes")).to_be_hidden()


def test_more_entries_are_shown_page_by_page(sql: Sql, open_page: OpenPage) -> None:
    times = [f"2026-03-02T08:{minute:02}:00Z" for minute in range(45)]
    sql(ENTRIES, times=times)
    page = open_page("history")
    more = page.get_by_role("button", name="Show more")
    for shown in (20, 40):
        expect(on_page.entries(page)).to_have_count(shown)
        more.click()
    expect_sentences(page, [f"At {time}" for time in reversed(times)])
    expect(more).to_be_hidden()
    on_page.expect_total(page, 45)


def test_a_large_total_has_separators(sql: Sql, open_page: OpenPage) -> None:
    sql(ENTRIES, times=["2026-03-02T08:00:00Z"] * 1234)
    on_page.expect_total(open_page("history"), 1234)


def test_the_filtered_entries_are_downloaded(api: Api, open_page: OpenPage) -> None:
    make_history(api)
    page = open_page("history")
    page.get_by_role("combobox", name="Action").select_option("Completed")
    page.get_by_role("searchbox", name="Search history").fill("oat")
    on_page.expect_total(page, 1)
    exported = api.get("/history", params={"format": "csv", "action_type": "COMPLETED", "q": "oat"})
    assert on_page.download(page) == exported.content


def test_the_entries_of_some_days_are_downloaded(api: Api, sql: Sql, open_page: OpenPage) -> None:
    sql(ENTRIES, times=AROUND_MIDNIGHTS)
    page = open_page("history", timezone_id="Asia/Kolkata")
    page.get_by_label("From", exact=True).fill("2026-03-02")
    page.get_by_label("To", exact=True).fill("2026-03-02")
    on_page.expect_total(page, 2)
    period = {"from": "2026-03-02T00:00:00+05:30", "to": "2026-03-03T00:00:00+05:30"}
    assert on_page.download(page) == api.get("/history", params={"format": "csv", **period}).content


def test_an_entry_of_a_title_unknown_is_listed(sql: Sql, open_page: OpenPage) -> None:
    sql(
        f"{AS_REPLICA}INSERT INTO task_history (history_id, task_id, action_type, description, timestamp)"
        " VALUES (:id, :id, 'UPDATED', 'Something happened', '2020-01-01T00:00:00Z')",
        id=uuid4(),
    )
    expect_sentences(open_page("history"), ["Something happened"])
