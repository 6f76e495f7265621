"""The limits of a connection: time, number and unread answers. They apply before any API key is checked."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import httpx
from sqlalchemy import URL

from main import create_app
from tests.support.databases import WAITING_FOR_A_LOCK, Sql, environment_of, settings_for, transaction
from tests.support.live_server import serve
from tests.support.raw_http import GET_HEALTH, POST, WHOLE_POST, Caller, caller, known_caller
from tests.support.service import MAIN, running
from tests.support.waiting import wait_until

MEGABYTE = 2**20


@contextmanager
def limited(database_url: URL, **limits: Any) -> Iterator[str]:
    """Serve the test's database with these `limits`, and yield the address."""
    with serve(create_app(settings_for(database_url)), **limits) as (_, address):
        yield address


def test_a_connection_without_a_whole_request_in_time_is_closed(database_url: URL) -> None:
    def is_refused(service: str, part: bytes, status: int) -> bool:
        with caller(service) as stranger:
            stranger.send(part)
            # A busy machine may send it too late to get an answer.
            answered = stranger.answer()[0]
            assert answered in (0, status)
            assert stranger.is_closed()
            return answered == status

    with limited(database_url, header_timeout_s=0.1) as address:
        for part, status in ((b"", 0), (b"GET /health HTT", 408), (GET_HEALTH[:-2] + b"A: b\r\n", 408)):
            wait_until(partial(is_refused, address, part, status))
        refused = 'task_backend_refused_connections_total{reason="no request in time"} '
        # This request may be late, too.
        wait_until(lambda: refused in httpx.get(f"{address}/metrics").text, not_yet=(httpx.TransportError,))


def test_a_known_caller_may_stay_idle_for_longer_than_a_request_may_take(database_url: URL) -> None:
    with (
        limited(database_url, header_timeout_s=0.1) as address,
        known_caller(address) as known,
        caller(address) as stranger,
    ):
        # Once the stranger is closed, the time for headers is over for both.
        assert stranger.is_closed()
        known.send(GET_HEALTH)
        assert known.answer()[0] == 200
        known.send(GET_HEALTH[:-2])
        assert known.answer()[0] == 408


def test_the_service_gives_up_on_a_body_that_stops_arriving(database_url: URL) -> None:
    with limited(database_url, body_timeout_s=1) as address:
        with caller(address) as stranger:
            stranger.send(WHOLE_POST[:-1])
            assert stranger.answer()[0] == 408
            assert stranger.is_closed()
        with caller(address) as stranger:
            # This one has its answer already, and goes on sending.
            stranger.send(POST + b"Content-Length: 10000000\r\n\r\n", b"x" * 100_000)
            assert stranger.answer()[0] == 413
            assert stranger.is_closed()
        assert httpx.get(f"{address}/tasks").json()["data"] == []


def test_connections_without_a_request_make_room_for_callers(database_url: URL) -> None:
    with limited(database_url, max_connections=5) as address, ExitStack() as stack:
        known = stack.enter_context(known_caller(address))
        strangers = [stack.enter_context(caller(address)) for _ in range(20)]
        for stranger in strangers:
            stranger.send(b"GET /health HTTP/1.1\r\n")
        with caller(address) as client:
            client.send(WHOLE_POST)
            assert client.answer()[0] == 201
        # The oldest strangers go first; a caller who has sent a request goes last.
        assert all(stranger.is_closed() for stranger in strangers[:15])
        known.send(GET_HEALTH)
        assert known.answer()[0] == 200


def test_a_caller_within_its_next_request_makes_room_too(database_url: URL) -> None:
    with limited(database_url, max_connections=2) as address, ExitStack() as stack:
        for _ in range(2):
            stranger = stack.enter_context(caller(address))
            stranger.send(GET_HEALTH + b"G")
            assert stranger.answer()[0] == 200
        with caller(address) as client:
            client.send(GET_HEALTH)
            assert client.answer()[0] == 200


def test_empty_lines_do_not_count_as_a_request(database_url: URL) -> None:
    with limited(database_url, header_timeout_s=0.1) as address, known_caller(address) as known:
        known.send(b"\r\n")
        assert known.is_closed()


def test_a_new_caller_gets_503_if_every_connection_is_being_served(database_url: URL, sql: Sql) -> None:
    with limited(database_url, max_connections=1) as address:
        task = httpx.post(f"{address}/tasks", json={"title": "Buy"}).json()["data"]
        with caller(address) as served:
            with transaction(database_url, "LOCK TABLE tasks"):
                served.send(b"GET /tasks/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % task["id"].encode())
                wait_until(lambda: sql(WAITING_FOR_A_LOCK))
                with caller(address) as other:
                    status, body = other.answer()
            assert (status, body["error"]) == (503, "Too many connections; try again in a moment")
            assert served.answer()[0] == 200


def fill_with_long_tasks(sql: Sql, megabytes: int) -> None:
    sql(
        "INSERT INTO tasks SELECT gen_random_uuid(), 'Task', repeat('x', 4000), false, now(), now()"
        " FROM generate_series(1, :number)",
        number=megabytes * 250,
    )


def ask_and_read_nothing(address: str) -> Caller:
    stuck = Caller(address)
    stuck.send(b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return stuck


def test_the_service_gives_up_on_a_caller_who_does_not_read(database_url: URL, sql: Sql) -> None:
    fill_with_long_tasks(sql, 20)
    with limited(database_url, write_timeout_s=0.1) as address, ask_and_read_nothing(address).socket:
        wait_until(lambda: 'reason="answer not read"' in httpx.get(f"{address}/metrics").text)


def test_unread_lists_take_no_more_than_max_list_bytes(database_url: URL, sql: Sql) -> None:
    fill_with_long_tasks(sql, 20)
    app = create_app(settings_for(database_url, max_list_bytes=30 * MEGABYTE))
    with serve(app, write_timeout_s=3600) as (_, address):
        with ask_and_read_nothing(address).socket as stuck:
            stuck.recv(1)
            refused = httpx.get(f"{address}/tasks")
            page = httpx.get(f"{address}/tasks?limit=2")
        # Once the caller who did not read is gone, there is space again.
        wait_until(lambda: httpx.get(f"{address}/tasks").status_code == 200)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert refused.json()["error"].startswith("Too many long lists are being read")
    assert page.status_code == 200


def test_a_stop_does_not_wait_for_a_caller_who_does_not_read(database_url: URL, sql: Sql) -> None:
    fill_with_long_tasks(sql, 20)
    with (
        running(MAIN, DATABASE_URL=environment_of(database_url), WRITE_TIMEOUT_S="3600") as (service, _),
        ask_and_read_nothing(f"http://127.0.0.1:{service.port}").socket as stuck,
    ):
        stuck.recv(1)
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 0
    assert "timeout graceful shutdown exceeded" not in service.output
    assert "Connections ended by the service: 1 (answer not read)" in service.output
