"""The page at `/`, open in tabs that must request nothing from elsewhere and report no error."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

from tests.support.waiting import PATIENCE_S

# Toasts disappear after 6 s, which a busy machine may need to click on one. So here they stay.
TOASTS_STAY = """{
    const setTimer = window.setTimeout;
    window.setTimeout = (work, pause, ...rest) => setTimer(work, pause === 6000 ? 2 ** 31 - 1 : pause, ...rest);
}"""


class Tabs:
    """Opens the page in tabs, each in a profile of its own, and notes what must not happen in them."""

    def __init__(self, browser: Browser) -> None:
        # Parts of messages that the console may show, such as the browser's own about an answer of 412.
        self.expected: list[str] = []
        self._noted: list[str] = []
        self._browser = browser
        self._contexts = ExitStack()

    def open(self, address: str, view: str = "tasks", *, toasts_stay: bool = True, **options: Any) -> Page:
        """Open a view of the service at `address`; `options` are those of Playwright's `new_context`."""
        context = self._contexts.enter_context(self._browser.new_context(**options))
        context.set_default_timeout(PATIENCE_S * 1000)
        if toasts_stay:
            context.add_init_script(TOASTS_STAY)
        page = context.new_page()
        self._watch(page, address)
        page.goto(f"{address}/#/{view}")
        return page

    def _watch(self, page: Page, address: str) -> None:
        def note_request(request: Request) -> None:
            if not request.url.startswith((f"{address}/", "data:", "blob:")):
                self._noted.append(f"requested {request.url}")

        def note_message(message: ConsoleMessage) -> None:
            url = message.location["url"]
            # The page reads a task again after an edit of it, and by then the task may be deleted.
            is_gone = "status of 404" in message.text and url.startswith(f"{address}/tasks/")
            if message.type == "error" and not is_gone:
                self._noted.append(f"{message.text} ({url})")

        def note_dialog(dialog: Dialog) -> None:
            self._noted.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("request", note_request)
        page.on("console", note_message)
        page.on("dialog", note_dialog)
        page.on("pageerror", lambda error: self._noted.append(str(error)))

    def close(self) -> None:
        """Close all tabs. Fail if one of them did what it must not."""
        self._contexts.close()
        unexpected = [note for note in self._noted if not any(part in note for part in self.expected)]
        assert unexpected == [], unexpected


@contextmanager
def tabs_of(browser: Browser) -> Iterator[Tabs]:
    """Yield tabs that are closed at the end of the block, and checked if the block ends well."""
    tabs = Tabs(browser)
    try:
        yield tabs
    finally:
        tabs.close()
