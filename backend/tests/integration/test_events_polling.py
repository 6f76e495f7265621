"""What GET /events costs the database: no statement without a listener, and one each 250 ms for all of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import URL

from main import create_app
from tests.support.client import Api
from tests.support.databases import settings_for
from tests.support.event_stream import listen_raw, watch
from tests.support.live_server import serve
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

INTERVAL_S = 0.25
LISTENERS = 50


@pytest.fixture
def proxy(database_url: URL) -> Proxy:
    """Records what the service sends to the database."""
    return Proxy(database_url)


@pytest.fixture
def api(proxy: Proxy) -> Iterator[Api]:
    with proxy.running() as url, serve(create_app(settings_for(url))) as (_, address), Api(address) as api:
        yield api


def is_quiet(proxy: Proxy) -> bool:
    """Whether the service sends nothing for several intervals."""
    sent = len(proxy.messages)
    time.sleep(5 * INTERVAL_S)
    return len(proxy.messages) == sent


def test_without_a_listener_there_is_no_statement(api: Api, proxy: Proxy) -> None:
    wait_until(lambda: is_quiet(proxy))
    for _ in range(2):
        with watch(api):
            sent = len(proxy.messages)
            wait_until(lambda sent=sent: len(proxy.messages) > sent + 3)  # type: ignore[misc]
        wait_until(lambda: is_quiet(proxy))


def test_any_number_of_listeners_is_one_statement_for_each_interval(api: Api, proxy: Proxy) -> None:
    callers = listen_raw(str(api.base_url), LISTENERS)
    sent, started = len(proxy.messages), time.monotonic()
    wait_until(lambda: len(proxy.messages) > sent + 8)
    # A busy machine sends fewer. The first may have been due.
    assert len(proxy.messages) - sent <= (time.monotonic() - started) / INTERVAL_S + 2
    for caller in callers:
        caller.socket.close()


def test_events_come_from_the_primary_although_a_replica_lags(
    database_url: URL, clone: Callable[[], AbstractContextManager[URL]]
) -> None:
    with (
        clone() as replica,
        serve(create_app(settings_for(database_url, database_read_url=replica))) as (_, address),
        Api(address) as api,
        watch(api) as stream,
    ):
        task = api.create_task()
        assert api.history()["items"] == []
        assert stream.entries()[0]["task_id"] == task["id"]
