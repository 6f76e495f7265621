"""A real browser: Debian's Chromium, driven by Playwright.

The test modules need Playwright and skip themselves if it is not installed. This file loads in any case.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.waiting import PATIENCE_S

CHROMIUM = shutil.which("chromium")

# The origin of the frontend, and of a stranger. Chromium resolves both to the server below, so no port
# of this machine has to be free.
SPA = "http://localhost:3000"
STRANGER = "http://localhost:3001"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def spa_port() -> Iterator[int]:
    """Serve the page that stands in for the frontend, and yield the port."""
    handler = partial(QuietHandler, directory=str(Path(__file__).parent / "spa"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


# Not for the session: Playwright keeps an event loop running, and tests of other modules start their own.
@pytest.fixture(scope="module")
def browser(spa_port: int) -> Iterator["Browser"]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs a browser (apt-get install chromium)")
    to_spa = [f"MAP {origin.removeprefix('http://')} 127.0.0.1:{spa_port}" for origin in (SPA, STRANGER)]
    arguments = ["--disable-background-networking", f"--host-resolver-rules={','.join(to_spa)}"]
    sync_api.expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments, chromium_sandbox=os.geteuid() != 0, timeout=PATIENCE_S * 1000
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: "Browser") -> Iterator["BrowserContext"]:
    """A browser profile without cookies, cache or history."""
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        yield context


@pytest.fixture
def page(context: "BrowserContext") -> "Page":
    return context.new_page()
