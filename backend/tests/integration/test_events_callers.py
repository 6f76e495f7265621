"""Listeners who do not read, who leave, and who are too many."""

import re
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import httpx
import psutil
import pytest
from sqlalchemy import URL

from main import create_app
from tests.support.client import Api, error_of
from tests.support.databases import Sql, environment_of, settings_for
from tests.support.entries import commit_entries
from tests.support.event_stream import Listener, listen_raw, watch
from tests.support.live_server import serve
from tests.support.service import MAIN, Service, running
from tests.support.waiting import wait_until

MEGABYTE = 2**20


@pytest.fixture
def service(database_url: URL) -> Iterator[Service]:
    """A process that drops callers who do not read for some seconds."""
    with running(MAIN, DATABASE_URL=environment_of(database_url), WRITE_TIMEOUT_S="5") as (service, _):
        yield service


def address_of(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def listeners_of(service: Service) -> int:
    metrics = httpx.get(f"{address_of(service)}/metrics").text
    [value] = re.findall(r"^task_backend_listeners (\S+)$", metrics, re.MULTILINE)
    return int(float(value))


def test_a_listener_who_does_not_read_is_dropped_and_the_others_miss_nothing(service: Service, sql: Sql) -> None:
    [stuck] = listen_raw(address_of(service), 1)
    with stuck.socket, Listener([address_of(service)]) as reader:
        wait_until(lambda: listeners_of(service) == 2)
        # More than the buffers of a connection hold.
        for _ in range(12):
            reader.wait_for(commit_entries(sql, length=MEGABYTE))
        wait_until(lambda: listeners_of(service) == 1)
        reader.wait_for(commit_entries(sql))
        assert reader.resets == 0
    wait_until(lambda: listeners_of(service) == 0)
    assert "Traceback" not in service.output


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_close(connection: socket.socket) -> None:
    """Say that nothing more will be sent, and read until the service closes the connection."""
    connection.shutdown(socket.SHUT_WR)
    with suppress(ConnectionResetError):
        while connection.recv(4096):
            pass
    connection.close()


def test_listeners_who_leave_leave_nothing_behind(service: Service) -> None:
    with Api(address_of(service)) as api, watch(api):
        assert listeners_of(service) == 1
    wait_until(lambda: listeners_of(service) == 0)
    process = psutil.Process(service.process.pid)
    before = process.num_fds()
    callers = listen_raw(address_of(service), 200)
    assert listeners_of(service) == len(callers)
    for number, caller in enumerate(callers):
        (close, reset, half_close)[number % 3](caller.socket)
    wait_until(lambda: listeners_of(service) == 0)
    wait_until(lambda: process.num_fds() <= before)


def test_head_and_refused_callers_are_no_listeners(service: Service) -> None:
    for _ in range(3):
        assert httpx.head(f"{address_of(service)}/events").status_code == 200
        assert httpx.post(f"{address_of(service)}/events").status_code == 405
    wait_until(lambda: listeners_of(service) == 0)


def test_a_stop_does_not_wait_for_a_listener_who_does_not_read(service: Service, sql: Sql) -> None:
    [stuck] = listen_raw(address_of(service), 1)
    with stuck.socket:
        commit_entries(sql, 8, length=MEGABYTE)
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 0
    assert "Traceback" not in service.output


def test_half_of_the_connections_stay_free_for_requests(database_url: URL) -> None:
    with serve(create_app(settings_for(database_url, max_connections=4))) as (_, address), ExitStack() as stack:
        clients = [stack.enter_context(closing(Api(address))) for _ in range(3)]
        with watch(clients[0]), watch(clients[1]):
            with clients[2].stream("GET", "/events", headers={"Origin": "http://localhost:3000"}) as refused:
                assert refused.status_code == 503
                refused.read()
            error_of(refused, 503)
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
            assert clients[2].create_task()
        wait_until(lambda: is_welcome(clients[2]))


def is_welcome(client: Api) -> bool:
    with client.stream("GET", "/events") as response:
        return response.is_success
