"""A change of each kind, as a person makes it on the page, to the tasks "Open" and "Complete"."""

from playwright.sync_api import Page

from tests.support import page as on_page


def add(page: Page) -> None:
    on_page.add(page, "New")


def rename(page: Page) -> None:
    on_page.edit(page, "Open", Title="Renamed", Description="Described")
    on_page.press(page, "Save")


def complete(page: Page) -> None:
    on_page.check_mark(page, "Open").check()


def reopen(page: Page) -> None:
    on_page.check_mark(page, "Complete").uncheck()


def delete(page: Page) -> None:
    on_page.press(page, "Delete Open")
