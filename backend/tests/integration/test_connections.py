"""What callers may do to a connection, and what happens to those who ask for too much. No key is looked at before."""

import json
import re
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from main import create_app
from tests.support.client import Api
from tests.support.databases import Sql, environment_of, settings_for, transaction
from tests.support.live_server import serve
from tests.support.service import MAIN, running
from tests.support.waiting import PATIENCE_S, wait_until

TASK = json.dumps({"title": "Buy groceries"}).encode()
POST = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WHOLE_POST = POST + b"Content-Length: %d\r\n\r\n%s" % (len(TASK), TASK)
CHUNKED_POST = POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(TASK), TASK)
GET_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d+) .*?\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n", re.DOTALL | re.IGNORECASE)


class Caller:
    """A connection on which anything can be sent."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self.socket = socket.create_connection((url.hostname or "", url.port or 0), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def send(self, *parts: bytes) -> None:
        """Send the parts, for as long as the service takes them."""
        for part in parts:
            try:
                self.socket.sendall(part)
            except OSError:
                return

    def answer(self) -> tuple[int, Any]:
        """Return the status and the body of the next answer; 0 and what there was where the connection ends."""
        while not (match := ANSWER.match(self._unread)):
            if not self._receive():
                return 0, self._unread
        end = match.end() + int(match[2])
        while len(self._unread) < end:
            if not self._receive():
                return 0, self._unread
        body, self._unread = self._unread[match.end() : end], self._unread[end:]
        return int(match[1]), json.loads(body)

    def is_closed(self) -> bool:
        """Tell whether nothing more comes, once the service has ended the connection."""
        return not self._receive() and not self._unread

    def _receive(self) -> bool:
        try:
            received = self.socket.recv(2**16)
        except ConnectionResetError:
            return False
        self._unread += received
        return bool(received)


@contextmanager
def caller(address: str) -> Iterator[Caller]:
    it = Caller(address)
    with it.socket:
        yield it


@contextmanager
def known_caller(address: str) -> Iterator[Caller]:
    """Yield a connection that has had an answer, however late a busy machine lets it send its request."""
    with ExitStack() as stack:

        def is_known() -> bool:
            known = stack.enter_context(caller(address))
            known.send(GET_HEALTH)
            callers.append(known)
            return known.answer()[0] == 200

        callers: list[Caller] = []
        wait_until(is_known)
        yield callers[-1]


@pytest.fixture
def address(live_app: tuple[FastAPI, str], api: Api) -> str:
    """Where a service with the usual limits is; `api` makes its database empty."""
    return live_app[1]


@contextmanager
def limited(database_url: URL, **limits: Any) -> Iterator[str]:
    """Serve with `limits` of its own, and yield the address."""
    with serve(create_app(settings_for(database_url)), **limits) as (_, address):
        yield address


MEGABYTE = 2**20


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"GET /health HTTP/1.1\r\nA: " + b"b" * MEGABYTE], id="one header"),
        pytest.param([b"GET /health HTTP/1.1\r\n", *[b"A: b\r\n" * 1000] * 200], id="many headers"),
        pytest.param([b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 6000 + b"\r\n"], id="a whole section"),
        pytest.param([b"GET /" + b"x" * MEGABYTE], id="a path"),
        pytest.param([GET_HEALTH, b"GET /health HTTP/1.1\r\n", *[b"A: b\r\n" * 1000] * 200], id="the second request"),
        pytest.param([CHUNKED_POST, b"A: " + b"b" * MEGABYTE], id="one trailer"),
        pytest.param([CHUNKED_POST, *[b"A: b\r\n" * 1000] * 200], id="many trailers"),
        pytest.param([POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * MEGABYTE], id="the extension of a chunk"),
    ],
)
def test_headers_and_trailers_beyond_the_limit_end_the_connection(address: str, api: Api, parts: list[bytes]) -> None:
    with caller(address) as stranger:
        stranger.send(*parts)
        status, body = stranger.answer()
        while status == 200:
            status, body = stranger.answer()
        if status:
            assert (status, body["error"]) == (431, "The request's headers are too large")
        assert stranger.is_closed() or status == 0
    assert api.get("/tasks").json()["data"] == []


def test_headers_below_the_limit_are_read_however_they_arrive(address: str) -> None:
    headers = b"".join(b"A%d: %s\r\n" % (number, b"b" * 100) for number in range(280))
    with caller(address) as slow:
        slow.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n", headers[:9000], headers[9000:], b"\r\n" + GET_HEALTH)
        assert [slow.answer()[0], slow.answer()[0]] == [200, 200]


def test_trailers_are_no_headers(address: str) -> None:
    with caller(address) as client:
        client.send(CHUNKED_POST, b"Content-Type: text/plain\r\n\r\n", GET_HEALTH)
        assert [client.answer()[0], client.answer()[0]] == [201, 200]


# As Java's HttpClient offers it by default (java.net.http, HTTP_2), and browsers a WebSocket.
H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
)
WEBSOCKET = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET])
@pytest.mark.parametrize(
    "body", [b"Content-Length: %d\r\n\r\n%s" % (len(TASK), TASK), CHUNKED_POST.removeprefix(POST) + b"\r\n"]
)
def test_an_offer_to_upgrade_is_ignored(address: str, offer: bytes, body: bytes) -> None:
    headers, empty_line, content = body.partition(b"\r\n\r\n")
    with caller(address) as client:
        for _ in range(2):
            # In one packet with what follows, and in several.
            client.send(POST + offer + body + GET_HEALTH)
            client.send(POST + offer, headers + empty_line)
            client.send(content, GET_HEALTH)
            assert [client.answer()[0] for _ in range(4)] == [201, 200, 201, 200]


def test_a_proxy_is_not_what_this_is(address: str) -> None:
    with caller(address) as client:
        client.send(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
        status, body = client.answer()
    assert (status, body) == (
        400,
        {"success": False, "data": None, "popup": None, "error": "The request is not valid HTTP"},
    )


def test_who_has_sent_everything_is_answered(address: str) -> None:
    """As `nc -N` does it."""
    for parts in ([WHOLE_POST], [WHOLE_POST, WHOLE_POST], [WHOLE_POST[:40], WHOLE_POST[40:]]):
        with caller(address) as client:
            client.send(*parts)
            client.socket.shutdown(socket.SHUT_WR)
            assert [client.answer()[0] for _ in range(b"".join(parts).count(b"POST"))] == [201] * (
                b"".join(parts).count(b"POST")
            )
            assert client.is_closed()


def test_who_ends_in_the_middle_of_a_request_changes_nothing(address: str, api: Api) -> None:
    for cut in (10, len(POST), len(WHOLE_POST) - 1):
        with caller(address) as client:
            client.send(WHOLE_POST[:cut])
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_closed()
    assert api.get("/tasks").json()["data"] == []


def test_requests_of_a_caller_who_is_gone_leave_no_traceback(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        for _ in range(20):
            with caller(f"http://127.0.0.1:{service.port}") as client:
                client.send(b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
                # So the end is a reset.
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        api.create_task()
        service.stop()
    assert "Traceback" not in service.output
    assert " ERROR " not in service.output


def test_who_sends_no_request_in_time_is_not_waited_for(database_url: URL) -> None:
    def is_refused(service: str, part: bytes, status: int) -> bool:
        with caller(service) as stranger:
            stranger.send(part)
            # A busy machine may have sent it too late to be answered.
            answered = stranger.answer()[0]
            assert answered in (0, status)
            assert stranger.is_closed()
            return answered == status

    with limited(database_url, header_timeout_s=0.1) as address:
        for part, status in ((b"", 0), (b"GET /health HTT", 408), (GET_HEALTH[:-2] + b"A: b\r\n", 408)):
            wait_until(partial(is_refused, address, part, status))
        metrics = httpx.get(f"{address}/metrics").text
    assert 'task_backend_refused_connections_total{reason="no request in time"} ' in metrics


def test_a_kept_connection_may_be_idle_for_longer_than_a_request_may_take(database_url: URL) -> None:
    with (
        limited(database_url, header_timeout_s=0.1) as address,
        known_caller(address) as known,
        caller(address) as stranger,
    ):
        # When this one is closed, that time is over for both.
        assert stranger.is_closed()
        known.send(GET_HEALTH)
        assert known.answer()[0] == 200
        known.send(GET_HEALTH[:-2])
        assert known.answer()[0] == 408


def test_a_body_that_stops_is_not_waited_for(database_url: URL) -> None:
    with limited(database_url, body_timeout_s=1) as address:
        with caller(address) as stranger:
            stranger.send(WHOLE_POST[:-1])
            assert stranger.answer()[0] == 408
            assert stranger.is_closed()
        with caller(address) as stranger:
            # It has its answer already, and goes on sending.
            stranger.send(POST + b"Content-Length: 10000000\r\n\r\n", b"x" * 100_000)
            assert stranger.answer()[0] == 413
            assert stranger.is_closed()
        assert httpx.get(f"{address}/tasks").json()["data"] == []


def test_strangers_make_room_for_callers(database_url: URL) -> None:
    with limited(database_url, max_connections=5) as address, ExitStack() as stack:
        known = stack.enter_context(known_caller(address))
        strangers = [stack.enter_context(caller(address)) for _ in range(20)]
        for stranger in strangers:
            stranger.send(b"GET /health HTTP/1.1\r\n")
        with caller(address) as client:
            client.send(WHOLE_POST)
            assert client.answer()[0] == 201
        # Who came first, went first; who has sent a request is the last to go.
        assert all(stranger.is_closed() for stranger in strangers[:15])
        known.send(GET_HEALTH)
        assert known.answer()[0] == 200


def test_who_has_begun_the_next_request_makes_room_too(database_url: URL) -> None:
    with limited(database_url, max_connections=2) as address, ExitStack() as stack:
        for _ in range(2):
            stranger = stack.enter_context(caller(address))
            stranger.send(GET_HEALTH + b"G")
            assert stranger.answer()[0] == 200
        with caller(address) as client:
            client.send(GET_HEALTH)
            assert client.answer()[0] == 200


def test_empty_lines_are_no_request(database_url: URL) -> None:
    with limited(database_url, header_timeout_s=0.1) as address, known_caller(address) as known:
        known.send(b"\r\n")
        assert known.is_closed()


@pytest.mark.parametrize("rest", [b"}", b"GET /health HTTP/1.1\r\nA: " + b"b" * MEGABYTE])
def test_what_follows_a_request_takes_nothing_from_it(address: str, api: Api, rest: bytes) -> None:
    with caller(address) as client:
        client.send(WHOLE_POST + WHOLE_POST + rest)
        assert [client.answer()[0], client.answer()[0]] == [201, 201]
        # It has an answer of its own where it has come later than those were given.
        assert client.answer()[0] in (0, 400, 431)
    assert len(api.list_tasks()) == 2


def test_the_last_request_of_a_connection_is_answered_whatever_follows(address: str) -> None:
    for offer in (b"Connection: close\r\n", b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n"):
        with caller(address) as client:
            client.send(GET_HEALTH[:-2] + offer + b"\r\n" + GET_HEALTH)
            assert client.answer()[0] == 200
            assert client.is_closed()


def test_where_all_are_being_served_a_new_caller_is_asked_to_come_back(database_url: URL, sql: Sql) -> None:
    with limited(database_url, max_connections=1) as address:
        task = httpx.post(f"{address}/tasks", json={"title": "Buy"}).json()["data"]
        with caller(address) as served:
            with transaction(database_url, "LOCK TABLE tasks"):
                served.send(b"GET /tasks/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % task["id"].encode())
                wait_until(lambda: sql("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
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


def test_who_does_not_read_is_not_waited_for(database_url: URL, sql: Sql) -> None:
    fill_with_long_tasks(sql, 20)
    with limited(database_url, write_timeout_s=0.1) as address, ask_and_read_nothing(address).socket:
        wait_until(lambda: 'reason="answer not read"' in httpx.get(f"{address}/metrics").text)


def test_lists_that_are_not_read_take_no_more_than_their_space(database_url: URL, sql: Sql) -> None:
    fill_with_long_tasks(sql, 20)
    app = create_app(settings_for(database_url, max_list_bytes=30 * MEGABYTE))
    with serve(app, write_timeout_s=3600) as (_, address):
        with ask_and_read_nothing(address).socket as stuck:
            stuck.recv(1)
            refused = httpx.get(f"{address}/tasks")
            page = httpx.get(f"{address}/tasks?limit=2")
        # Once the one who did not read is gone, there is space again.
        wait_until(lambda: httpx.get(f"{address}/tasks").status_code == 200)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert refused.json()["error"].startswith("Too many long lists are being read")
    assert page.status_code == 200


def test_a_stop_does_not_wait_for_who_does_not_read(database_url: URL, sql: Sql) -> None:
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
