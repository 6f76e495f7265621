"""Barriers for people with disabilities, as axe-core finds them (https://github.com/dequelabs/axe-core)."""

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Page

# Elements that fade in have another contrast, and would not be checked.
_ENDED = "() => document.getAnimations().every(animation => animation.playState !== 'running')"


def barriers(page: Page) -> list[str]:
    """Return what axe finds in the page as it is now: the rule and the elements that break it."""
    page.wait_for_function(_ENDED)
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("() => axe.run({resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['html']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
