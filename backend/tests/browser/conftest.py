"""A real browser: Debian's Chromium, driven by Playwright."""

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support.waiting import PATIENCE_S

CHROMIUM = shutil.which("chromium")

# The page that plays the SPA, as its origins. Chromium is told where to find them, so that no port
# of this machine has to be free.
SPA = "http://localhost:3000"
STRANGER = "http://localhost:3001"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def spa_port() -> Iterator[int]:
    """Serve the page that plays the SPA, and tell the port."""
    handler = partial(QuietHandler, directory=str(Path(__file__).parent / "spa"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


# For a module and no longer: Playwright keeps an event loop running, and other tests start their own.
@pytest.fixture(scope="module")
def browser(spa_port: int) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs a browser (apt-get install chromium)")
    to_spa = [f"MAP {origin.removeprefix('http://')} 127.0.0.1:{spa_port}" for origin in (SPA, STRANGER)]
    arguments = ["--disable-background-networking", f"--host-resolver-rules={','.join(to_spa)}"]
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments, chromium_sandbox=os.geteuid() != 0, timeout=PATIENCE_S * 1000
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a past."""
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
