"""Callers who make their requests at the same moment."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx

from tests.support.audit import is_legal
from tests.support.client import Json

CALLERS = 50


def race(calls: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Make all calls at the same moment, each on a thread of its own."""
    barrier = Barrier(len(calls))

    def call(make: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return make()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))


def assert_legal(entries: list[Json]) -> None:
    assert is_legal([(entry["action_type"], entry["timestamp"]) for entry in entries]), entries
