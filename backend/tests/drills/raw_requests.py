"""Random raw requests, from nearly right to noise: no bytes may crash the service."""

import json
import random
import re
import socket
from contextlib import suppress

from tests.support.waiting import PATIENCE_S

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_TASK = "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"


class RawRequests:
    """Random requests to a service on this machine, each on a connection of its own."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._address = (host, port)
        self._chance = random.Random(seed)  # noqa: S311  # A seed repeats a run; nothing here is secret.
        self.answers = 0
        # The requests that the service answered with 5xx, and the answers.
        self.server_errors: list[tuple[bytes, bytes]] = []

    def send(self, count: int) -> None:
        """Send `count` random requests."""
        for _ in range(count):
            request = self._request()
            answer = self._answer_to(request)
            status = _STATUS.match(answer)
            if status:
                self.answers += 1
                if status[1].startswith(b"5"):
                    self.server_errors.append((request, answer))

    def _answer_to(self, request: bytes) -> bytes:
        answer = b""
        try:
            with socket.create_connection(self._address, timeout=PATIENCE_S) as connection:
                connection.sendall(request)
                # The service may have answered and closed the connection already.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    answer += chunk
        except ConnectionError:
            # The service may stop reading; what it has answered by then counts.
            pass
        return answer

    def _request(self) -> bytes:
        body = self._body()
        method = self._pick("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW", "get")
        headers = [
            "Host: localhost",
            "Connection: close",
            self._pick("Content-Type: application/json", "Content-Type: text/plain", "Content-Type:", "X: y"),
            self._pick("Origin: http://localhost:3000", "Origin: null", f"Origin: {self._noise(20)}", "Z: z"),
            self._pick("X-Request-ID: a", f"X-Request-ID: {self._noise(80)}", "Accept: */*", "Cookie: a=b; a"),
            self._pick(
                f"Content-Length: {len(body)}",
                f"Content-Length: {len(body)}",
                f"Content-Length: {len(body)}",
                f"Content-Length: {self._chance.randrange(100)}",
                "Content-Length: -1",
                "Transfer-Encoding: chunked",
            ),
        ]
        head = f"{method} {self._path()} HTTP/1.1\r\n" + "\r\n".join(headers) + "\r\n\r\n"
        request = head.encode("utf-8", "surrogatepass") + body
        if self._chance.random() < 0.1:
            # Overwrite some bytes.
            damaged = bytearray(request)
            for _ in range(self._chance.randrange(1, 6)):
                damaged[self._chance.randrange(len(damaged))] = self._chance.randrange(256)
            request = bytes(damaged)
        return request

    def _path(self) -> str:
        prefix = self._pick("", "", "/api/v1")
        path = self._pick(
            "/tasks",
            f"/tasks/{_TASK}",
            f"/tasks/{_TASK}/complete",
            f"/tasks/{_TASK}/incomplete",
            f"/tasks/{self._escaped(30)}",
            "/history",
            "/stats/weekly",
            "/health",
            "/health/ready",
            f"/{self._escaped(30)}",
        )
        names = ["page", "limit", "offset", "task_id", "action_type", "cursor", self._escaped(5)]
        query = "&".join(f"{self._pick(*names)}={self._value()}" for _ in range(self._chance.randrange(4)))
        return f"{prefix}{path}?{query}" if query else f"{prefix}{path}"

    def _value(self) -> str:
        number = self._chance.choice([0, 1, -1, 100, 101, 2**31, 2**53, 2**63, 10**30])
        return self._pick(str(number), "", "CREATED", _TASK, "1.0", "1e3", "0x1", "%00", "%ff", self._escaped(12))

    def _body(self) -> bytes:
        text = json.dumps(
            {
                self._pick("title", "title", "description", "is_completed", self._noise(8)): self._json(3),
                self._pick("title", "description", "id"): self._json(3),
            }
        )
        return self._chance.choice(
            [
                text.encode(),
                text.encode(),
                text.encode()[: self._chance.randrange(1, len(text))],
                text.encode("utf-16"),
                self._chance.randbytes(self._chance.randrange(200)),
                b"[" * self._chance.randrange(1, 60_000),
                b'{"title": ' + b"9" * self._chance.randrange(1, 10_000) + b"}",
                b'{"title": "\\ud800", "title": NaN}',
                b"",
            ]
        )

    def _json(self, depth: int) -> object:
        if depth and self._chance.random() < 0.2:
            return self._chance.choice([[self._json(depth - 1)], {self._noise(4): self._json(depth - 1)}])
        return self._chance.choice([None, True, 0, -1.5, 2**70, "", "x" * 300, self._noise(40), self._noise(40)])

    def _noise(self, length: int) -> str:
        ranges = ((0, 0x20), (0x20, 0x7F), (0x20, 0x7F), (0x80, 0x800), (0xD800, 0xE000), (0x1F300, 0x1F700))
        return "".join(
            chr(self._chance.randrange(*self._chance.choice(ranges)))
            for _ in range(self._chance.randrange(1, length + 1))
        )

    def _escaped(self, length: int) -> str:
        return "".join(f"%{byte:02x}" for byte in self._chance.randbytes(self._chance.randrange(1, length + 1)))

    def _pick(self, *choices: str) -> str:
        return self._chance.choice(choices)
