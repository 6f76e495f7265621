"""HTTP on the wire: large headers, trailers, upgrades, pipelining and broken requests."""

import socket
import struct
import sys

import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from tests.support.client import Api
from tests.support.databases import environment_of
from tests.support.raw_http import CHUNKED_POST, GET_HEALTH, POST, TASK, WHOLE_POST, caller
from tests.support.service import MAIN, running


@pytest.fixture
def address(live_app: tuple[FastAPI, str], api: Api) -> str:
    """The address of a service with the default limits; `api` gives it an empty database."""
    return live_app[1]


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


def test_trailers_do_not_count_as_headers(address: str) -> None:
    with caller(address) as client:
        client.send(CHUNKED_POST, b"Content-Type: text/plain\r\n\r\n", GET_HEALTH)
        assert [client.answer()[0], client.answer()[0]] == [201, 200]


# The offers of Java's HttpClient by default (java.net.http, HTTP_2), and of a browser that opens a WebSocket.
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
            # In one packet with the next request, and in several packets.
            client.send(POST + offer + body + GET_HEALTH)
            client.send(POST + offer, headers + empty_line)
            client.send(content, GET_HEALTH)
            assert [client.answer()[0] for _ in range(4)] == [201, 200, 201, 200]


def test_a_connect_request_is_refused(address: str) -> None:
    with caller(address) as client:
        client.send(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
        status, body = client.answer()
    assert (status, body) == (
        400,
        {"success": False, "data": None, "popup": None, "error": "The request is not valid HTTP"},
    )


def test_a_caller_who_stops_sending_after_a_whole_request_is_answered(address: str) -> None:
    """`nc -N` closes its sending half like this."""
    for parts in ([WHOLE_POST], [WHOLE_POST, WHOLE_POST], [WHOLE_POST[:40], WHOLE_POST[40:]]):
        with caller(address) as client:
            client.send(*parts)
            client.socket.shutdown(socket.SHUT_WR)
            assert [client.answer()[0] for _ in range(b"".join(parts).count(b"POST"))] == [201] * (
                b"".join(parts).count(b"POST")
            )
            assert client.is_closed()


def test_a_caller_who_stops_sending_within_a_request_changes_nothing(address: str, api: Api) -> None:
    for cut in (10, len(POST), len(WHOLE_POST) - 1):
        with caller(address) as client:
            client.send(WHOLE_POST[:cut])
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_closed()
    assert api.get("/tasks").json()["data"] == []


@pytest.mark.parametrize("rest", [b"}", b"GET /health HTTP/1.1\r\nA: " + b"b" * MEGABYTE])
def test_garbage_after_a_request_does_not_affect_it(address: str, api: Api, rest: bytes) -> None:
    with caller(address) as client:
        client.send(WHOLE_POST + WHOLE_POST + rest)
        assert [client.answer()[0], client.answer()[0]] == [201, 201]
        # The garbage gets an answer of its own if it arrived after the two were sent.
        assert client.answer()[0] in (0, 400, 431)
    assert len(api.list_tasks()) == 2


def test_a_request_with_connection_close_is_answered_whatever_follows(address: str) -> None:
    for offer in (b"Connection: close\r\n", b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n"):
        with caller(address) as client:
            client.send(GET_HEALTH[:-2] + offer + b"\r\n" + GET_HEALTH)
            assert client.answer()[0] == 200
            assert client.is_closed()


def test_a_caller_who_resets_the_connection_leaves_no_traceback(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        for _ in range(20):
            with caller(f"http://127.0.0.1:{service.port}") as client:
                client.send(b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
                # Without lingering, close() sends a reset.
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        api.create_task()
        service.stop()
    assert "Traceback" not in service.output
    assert " ERROR " not in service.output


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which counts the segments of a connection")
def test_an_answer_arrives_in_one_segment(address: str) -> None:
    """A process that is killed between two writes would leave half an answer, which no load balancer can repeat."""
    with caller(address) as someone:
        for _ in range(10):
            someone.send(GET_HEALTH)
            assert someone.answer()[0] == 200
        # tcpi_data_segs_in of struct tcp_info, /usr/include/linux/tcp.h.
        [segments] = struct.unpack_from("I", someone.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)
    assert segments == 10
