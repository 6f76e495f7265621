"""HAProxy with `deploy/haproxy.cfg`, in front of two processes that drop the first request they get."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import httpx
import pytest

from tests.drills.machines import HAPROXY, haproxy, new_addresses
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
    """A caller of HAProxy, and the attempts that the processes saw."""

    attempts: list[Attempt]


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
