"""The page that the live server serves, in as many tabs as a test opens."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.client import Api

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.tabs import Tabs

OpenPage = Callable[..., "Page"]


# It needs `api` in order to end before the service loses the test's database.
@pytest.fixture
def tabs(browser: "Browser", api: Api) -> Iterator["Tabs"]:
    """Tabs of the browser, which must request nothing from elsewhere and report no error."""
    from tests.support.tabs import tabs_of  # noqa: PLC0415  # It needs Playwright, and this file loads in any case.

    with tabs_of(browser) as tabs:
        yield tabs


@pytest.fixture
def open_page(api: Api, tabs: "Tabs") -> OpenPage:
    """Open a view of the page in a tab of its own."""
    return partial(tabs.open, str(api.base_url).rstrip("/"))


@pytest.fixture
def page(open_page: OpenPage) -> "Page":
    """The Tasks view."""
    return open_page()
