"""HAProxy with `deploy/haproxy.cfg`: requests that a process drops, and streams."""

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx
import pytest
from sqlalchemy import URL

from tests.drills.machines import DEPLOY, HAPROXY, haproxy, new_addresses
from tests.support.client import Api
from tests.support.databases import Sql, environment_of
from tests.support.entries import commit_entries
from tests.support.event_stream import Listener, watch
from tests.support.service import MAIN, Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not (HAPROXY and sys.platform == "linux"), reason="needs Linux and HAProxy (apt-get install haproxy)"
)

# JSON may write each of the 255 + 5000 characters as two escapes of six bytes.
LARGEST_BODY = json.dumps({"title": "\N{GRINNING FACE}" * 255, "description": "\N{GRINNING FACE}" * 5000})


class Attempt(NamedTuple):
    """What a process was sent."""

    request: str
    key: str | None
    body: bytes


class Balancer(httpx.Client):
    """A caller of HAProxy before two processes that drop the first request they get, and what those saw."""

    attempts: list[Attempt]


class Front(NamedTuple):
    """The address of HAProxy, and how to start the service on the machine API1 or API2 behind it."""

    address: str
    start: Callable[[str], Service]


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    attempts: list[Attempt] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            if self.path != "/health":
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                attempts.append(Attempt(self.requestline, self.headers.get("Idempotency-Key"), body))
                if len(attempts) == 1:
                    self.close_connection = True
                    return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # The names of the base class.

        def log_message(self, *_: object) -> None:
            pass

    addresses = new_addresses()
    with ExitStack() as stack:
        for name in ("API1", "API2"):
            server = stack.enter_context(ThreadingHTTPServer((addresses[name], 8000), Handler))
            Thread(target=server.serve_forever).start()
            stack.callback(server.shutdown)
        stack.enter_context(haproxy(tmp_path, addresses))
        client = stack.enter_context(Balancer(base_url=f"http://{addresses['FRONT']}:8000"))
        client.attempts = attempts
        wait_until(lambda: client.get("/health").is_success, not_yet=(httpx.TransportError,))
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks"),
        ("HEAD", "/tasks/1"),
        ("POST", "/tasks"),
        ("POST", "/api/v1/tasks"),
        ("PUT", "/tasks/1"),
        ("PATCH", "/tasks/1/complete"),
        ("DELETE", "/tasks/1"),
        ("POST", "/history/1/undo"),
        ("POST", "/api/v1/history/1/undo/"),
    ],
)
def test_a_request_that_a_process_dropped_is_repeated_with_the_same_key(
    balancer: Balancer, method: str, path: str
) -> None:
    assert balancer.request(method, path).status_code == 200
    first, second = balancer.attempts
    assert first == second
    assert (first.key is None) == (method in ("GET", "HEAD"))


def test_the_key_of_the_caller_is_kept(balancer: Balancer) -> None:
    assert balancer.delete("/tasks/1", headers={"Idempotency-Key": "mine"}).status_code == 200
    assert [attempt.key for attempt in balancer.attempts] == ["mine", "mine"]


def test_each_request_gets_a_key_of_its_own(balancer: Balancer) -> None:
    for _ in range(2):
        balancer.delete("/tasks/1")
    first, again, other = (attempt.key for attempt in balancer.attempts)
    assert first == again != other


def test_the_largest_valid_body_is_repeated(balancer: Balancer) -> None:
    assert balancer.post("/tasks", content=LARGEST_BODY).status_code == 200
    assert [attempt.body.decode() for attempt in balancer.attempts] == [LARGEST_BODY] * 2


def test_a_post_that_is_not_known_to_be_safe_is_not_repeated(balancer: Balancer) -> None:
    # On a connection that it has used before, HAProxy would close it instead of answering.
    assert httpx.post(balancer.base_url.join("/unknown")).status_code == 502
    assert len(balancer.attempts) == 1


@contextmanager
def service_at(address: str, database_url: URL) -> Iterator[Service]:
    """Run the service at the address of one of the machines, until the block ends or it is killed."""
    service = Service(MAIN, HOST=address, PORT="8000", DATABASE_URL=environment_of(database_url))
    try:
        service.wait_for("Application startup complete")
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()


@pytest.fixture
def front(tmp_path: Path, database_url: URL) -> Iterator[Front]:
    addresses = new_addresses()
    with ExitStack() as stack:
        stack.enter_context(haproxy(tmp_path, addresses))

        def start(name: str) -> Service:
            return stack.enter_context(service_at(addresses[name], database_url))

        yield Front(f"http://{addresses['FRONT']}:8000", start)


def test_a_listener_whose_process_is_killed_comes_back_to_the_other_and_misses_nothing(front: Front, sql: Sql) -> None:
    first, second = (front.start(name) for name in ("API1", "API2"))
    with Listener([front.address]) as listener:
        listener.wait_for(commit_entries(sql))
        first.stop(signal.SIGKILL)
        listener.wait_for(commit_entries(sql))
        front.start("API1")
        second.stop(signal.SIGKILL)
        listener.wait_for(commit_entries(sql))
        # It was at one of the two.
        assert listener.connections > 1
        assert (listener.resets, listener.errors) == (0, [])


def test_a_stream_ends_when_its_process_stops(front: Front) -> None:
    service = front.start("API1")
    with Api(front.address) as api:
        wait_until(lambda: api.get("/health").is_success)
        with watch(api) as stream:
            api.create_task()
            assert stream.entries()
            assert service.stop() == 0
            assert stream.rest() == []


def test_a_silent_stream_is_not_silent_for_too_long() -> None:
    """The service breaks the silence at least every 15 s; HAProxy must wait for twice that."""
    timeouts = re.findall(r"^ +timeout (?:client|server) (\d+)s$", (DEPLOY / "haproxy.cfg").read_text(), re.MULTILINE)
    assert len(timeouts) == 2
    assert all(int(timeout_s) >= 30 for timeout_s in timeouts)
