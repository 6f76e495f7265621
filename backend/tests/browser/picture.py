"""`make picture`: takes the picture of the page that README.md begins with.

The service runs on throwaway data, filled by the demo. Only the numbers and dates of the weeks change from one
picture to the next.
"""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from config import BACKEND
from tests.support.clusters import memory_dir
from tests.support.service import MAIN, running
from tests.support.waiting import PATIENCE_S

PICTURE = BACKEND.parent / "docs" / "page.png"

Colours = Literal["light", "dark"]

# In CSS pixels, of each of the two views; they are next to each other.
WIDTH, HEIGHT = 560, 640
# Sharp enough for most screens, and half the size of a picture for those of the highest density.
SCALE = 1.5


def main() -> None:
    """Write the picture."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("The picture needs a browser (apt-get install chromium).")
    expect.set_options(timeout=PATIENCE_S * 1000)
    with memory_dir() as data_dir, running(MAIN, DATA_DIR=str(data_dir)) as (service, _), sync_playwright() as driver:
        address = f"http://127.0.0.1:{service.port}"
        fill(address, data_dir)
        browser = driver.chromium.launch(executable_path=chromium, chromium_sandbox=os.geteuid() != 0)
        views = [view_of_tasks(browser, address), view_of_week(browser, address)]
        PICTURE.write_bytes(side_by_side(browser, views))
        browser.close()
    print(f"Wrote {PICTURE}")


def fill(address: str, data_dir: Path) -> None:
    """Fill the service with the demo's four weeks."""
    environment = {**os.environ, "DATA_DIR": str(data_dir), "TZ": "UTC"}
    subprocess.run([sys.executable, "demo.py", address], cwd=BACKEND, env=environment, check=True)


def view_of_tasks(browser: Browser, address: str) -> bytes:
    """Return a picture of the list of tasks."""
    page = opened(browser, f"{address}/#/tasks", "light")
    expect(page.get_by_role("list", name="Tasks").get_by_role("listitem")).not_to_have_count(0)
    return taken(page)


def view_of_week(browser: Browser, address: str) -> bytes:
    """Return a picture of last week."""
    page = opened(browser, f"{address}/#/week", "dark")
    days = page.get_by_role("table", name="Days of the week").get_by_role("row")
    expect(days).to_have_count(8)
    this_week = days.all_inner_texts()
    page.get_by_role("button", name="Previous week").click()
    expect(days).not_to_have_text(this_week)
    page.mouse.move(0, 0)
    return taken(page)


def opened(browser: Browser, address: str, colours: Colours) -> Page:
    """Return the page, connected to the service."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT},
        device_scale_factor=SCALE,
        color_scheme=colours,
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
    )
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(address)
    expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
    return page


def taken(page: Page) -> bytes:
    """Return a picture of the page as it is now, and close it."""
    picture = page.screenshot(animations="disabled", caret="hide")
    page.close()
    return picture


def side_by_side(browser: Browser, pictures: list[bytes]) -> bytes:
    """Return one picture of several, from left to right."""
    page = browser.new_page(viewport={"width": len(pictures) * WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
    images = (f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}">' for picture in pictures)
    page.set_content(f"<style>body {{ margin: 0; display: flex }} img {{ width: {WIDTH}px }}</style>{''.join(images)}")
    return page.screenshot()


if __name__ == "__main__":
    main()
