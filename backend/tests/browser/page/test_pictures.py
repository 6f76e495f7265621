"""Pictures of the views for a person to look at, in `tests/browser/screenshots/`. Nothing compares them."""

from pathlib import Path
from typing import Literal

import pytest

from tests.browser.page.conftest import OpenPage
from tests.support.client import Api

pytest.importorskip("playwright", reason="needs playwright: pip install -r requirements-test.txt")

from playwright.sync_api import expect

from tests.support import page as on_page

PICTURES = Path(__file__).parents[1] / "screenshots"
WIDTHS_PX = {360: 780, 800: 1000, 1600: 1000}
TASKS = [
    ("Water the plants", "The fern needs more than the others"),
    ("Book the train to Lyon", "Leave on Thursday, back on Sunday night"),
    ("Call the dentist", None),
    ("לקנות חלב", "2 ליטר"),
    ("Invite Paul and Anna to dinner 🎉", "Paul eats no nuts"),
    ("Renew the passport", "Photographs first"),
    ("Buy groceries", "Milk, bread, cheese and something green"),
]


@pytest.fixture
def filled(api: Api) -> Api:
    """A service with some tasks, three of them complete."""
    tasks = [api.create_task(title, description=description) for title, description in TASKS]
    for task in tasks[:3]:
        api.complete_task(task["id"])
    api.update_task(tasks[-1]["id"], title="Buy groceries for Sunday")
    return api


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS_PX)
@pytest.mark.usefixtures("filled")
def test_pictures_are_taken(open_page: OpenPage, scheme: Literal["light", "dark"], width: int) -> None:
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": WIDTHS_PX[width]})
    expect(on_page.rows(page)).to_have_count(len(TASKS))
    for view in ("Tasks", "History", "Week"):
        on_page.go_to(page, view)
        if view == "History":
            on_page.open_entry(page, "Title changed")
            expect(page.get_by_role("table", name="Changes")).to_be_visible()
        if view == "Week":
            expect(page.get_by_role("table", name="Days of the week").get_by_role("row")).to_have_count(8)
        expect(on_page.connection(page)).to_have_text("Live")
        picture = PICTURES / f"{view.lower()}-{width}-{scheme}.png"
        page.screenshot(path=picture, animations="disabled")
        assert picture.stat().st_size > 0
