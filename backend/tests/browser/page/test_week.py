"""The Week view, in time zones of its readers."""

import re
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api, data_of
from tests.support.databases import AS_REPLICA, Sql
from tests.support.waiting import wait_until

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import Page, expect

from tests.support import page as on_page

WEEK = timedelta(days=7)
# A task and an entry each seven hours of the last 40 days; every third task is complete.
SIX_WEEKS = (
    "INSERT INTO tasks SELECT gen_random_uuid(), 'x', NULL, number % 3 = 0, at, at, CASE number % 3 WHEN 0 THEN at END"
    " FROM generate_series(1, 137) AS number, LATERAL (SELECT now() - number * interval '7 hours' AS at) AS moment; "
    f"{AS_REPLICA}INSERT INTO task_history (history_id, task_id, action_type, description, timestamp)"
    " SELECT gen_random_uuid(), gen_random_uuid(), 'UPDATED', 'x', now() - number * interval '7 hours'"
    " FROM generate_series(1, 137) AS number"
)
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago"]


class Week:
    """A week of a zone, as the API counts it."""

    def __init__(self, api: Api, zone: str, weeks_ago: int = 0) -> None:
        self.zone = ZoneInfo(zone)
        self.counts = api.stats(date=str(datetime.now(self.zone).date() - weeks_ago * WEEK), tz=zone)
        self.start, self.end = (
            datetime.fromisoformat(self.counts[bound]).astimezone(self.zone) for bound in ("week_start", "week_end")
        )
        period = {"from": str(self.start.date()), "to": str(self.end.date()), "tz": zone}
        self.days: list[Any] = data_of(api.get("/stats/daily", params=period))["days"]

    def export(self, api: Api) -> bytes:
        """Return the entries of the week as CSV."""
        # `to` is the first moment after the period, and `week_end` its last second.
        period = {"from": self.start.isoformat(), "to": (self.end + timedelta(seconds=1)).isoformat()}
        return api.get("/history", params={"format": "csv", **period}).content


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, sql: Sql) -> str:
    """A time zone, at a time when no week is about to begin there, and tasks and entries of six weeks."""
    name: str = request.param

    def monday(of: datetime) -> date:
        return of.date() - timedelta(days=of.weekday())

    wait_until(lambda: monday(now := datetime.now(ZoneInfo(name))) == monday(now + timedelta(minutes=1)))
    sql(SIX_WEEKS)
    return name


def expect_week(page: Page, week: Week) -> None:
    """Expect the numbers of the week, and of each of its days."""
    names = (
        "tasks_created_this_week",
        "tasks_completed_this_week",
        "total_incomplete",
        "total_completed",
        "total_tasks",
    )
    expect(page.locator("main dl dd")).to_have_text([str(week.counts[name]) for name in names])
    rows = page.get_by_role("table", name="Days of the week").get_by_role("row")
    expect(rows.first.locator("th")).to_have_text(["Day", "Created", "Completed", "Changes"])
    expect(rows).to_have_count(1 + len(week.days))
    for number, day in enumerate(week.days, start=1):
        counts = [str(day[name]) for name in ("tasks_created", "tasks_completed", "changes")]
        in_month = re.compile(rf"\b{date.fromisoformat(day['date']).day}\b")
        expect(rows.nth(number).locator("th, td")).to_have_text([in_month, *counts])


def test_this_week_is_that_of_the_reader(api: Api, zone: str, open_page: OpenPage) -> None:
    page = open_page("week", timezone_id=zone)
    expect_week(page, Week(api, zone))
    expect(page.get_by_role("button", name="Next week")).to_be_disabled()


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
def test_the_reader_goes_to_earlier_weeks_and_back(api: Api, zone: str, open_page: OpenPage) -> None:
    page = open_page("week", timezone_id=zone)
    for weeks_ago in (1, 2, 3, 4):
        on_page.press(page, "Previous week")
        expect_week(page, Week(api, zone, weeks_ago))
    on_page.press(page, "Next week")
    expect_week(page, Week(api, zone, weeks_ago=3))
    on_page.press(page, "This week")
    expect_week(page, Week(api, zone))
    expect(page.get_by_role("button", name="Next week")).to_be_disabled()


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
def test_no_click_leads_into_the_future(api: Api, zone: str, open_page: OpenPage) -> None:
    page = open_page("week", timezone_id=zone)
    on_page.press(page, "Previous week")
    page.get_by_role("button", name="Next week").dblclick()
    expect_week(page, Week(api, zone))
    expect(page.get_by_role("button", name="Next week")).to_be_disabled()


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
def test_the_next_week_begins_on_an_open_page(api: Api, zone: str, open_page: OpenPage) -> None:
    page = open_page(timezone_id=zone)
    page.clock.install(time=Week(api, zone).start - timedelta(hours=1))
    on_page.go_to(page, "Week")
    expect_week(page, Week(api, zone, weeks_ago=1))
    page.clock.fast_forward("01:02:00")
    expect_week(page, Week(api, zone))


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
@pytest.mark.parametrize("weeks_ago", [0, 1])
def test_the_entries_of_the_week_are_downloaded(api: Api, zone: str, open_page: OpenPage, weeks_ago: int) -> None:
    page = open_page("week", timezone_id=zone)
    expect_week(page, Week(api, zone))
    for _ in range(weeks_ago):
        on_page.press(page, "Previous week")
    week = Week(api, zone, weeks_ago)
    expect_week(page, week)
    assert on_page.download(page) == week.export(api)


def test_the_bars_are_a_picture_of_the_table(api: Api, open_page: OpenPage) -> None:
    api.create_task("Buy milk")
    page = open_page("week")
    bars = page.locator("main svg")
    expect(bars.first).to_be_visible()
    expect(bars.first).to_have_attribute("aria-hidden", "true")
    expect(page.get_by_role("table", name="Days of the week")).to_be_visible()
