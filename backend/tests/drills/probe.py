"""What ordinary callers and the machine notice of an attack: latencies, errors, memory, descriptors and disk."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import httpx
import psutil

from tests.support.load import Callers
from tests.support.service import Service
from tests.support.waiting import PATIENCE_S

MEGABYTE = 2**20

Call = Callable[[httpx.Client], httpx.Response]


class Latencies(NamedTuple):
    """The median and the 99th percentile of latencies, in milliseconds."""

    p50: float
    p99: float


class Probe(Callers):
    """Callers who each repeat one of `calls`, 20 ms apart, and measure how long the answers take."""

    def __init__(self, address: str, calls: Mapping[str, Call]) -> None:
        super().__init__(address, len(calls), self._ask)
        self._calls = list(calls.items())
        self._seconds: dict[str, list[float]] = {name: [] for name in calls}

    def latencies(self, name: str) -> Latencies:
        """Return the latencies of `name` since the last call of this."""
        seconds, self._seconds[name] = self._seconds[name], []
        cuts = quantiles(seconds, n=100)
        return Latencies(cuts[49] * 1000, cuts[98] * 1000)

    def _ask(self, number: int) -> None:
        name, call = self._calls[number]
        with httpx.Client(base_url=self._address, timeout=PATIENCE_S) as client:
            while not self._stop.wait(0.02):
                started = time.monotonic()
                try:
                    response = call(client)
                except httpx.TransportError as error:
                    self.errors.append(f"{name}: {error!r}")
                    continue
                self._seconds[name].append(time.monotonic() - started)
                if not response.is_success:
                    self.errors.append(f"{name}: {response.status_code} {response.text}")


def get(path: str, client: httpx.Client) -> httpx.Response:
    """GET `path`."""
    return client.get(path)


def create_task(client: httpx.Client) -> httpx.Response:
    """Create a task."""
    return client.post("/tasks", json={"title": "New"})


def fresh_health(client: httpx.Client) -> httpx.Response:
    """GET /health on a new connection."""
    return client.get("/health", headers={"Connection": "close"})


def memory_mib(service: Service) -> float:
    """Return the resident memory of the service."""
    return float(psutil.Process(service.process.pid).memory_info().rss) / MEGABYTE


def temporary_bytes(service: Service) -> int:
    """Return the size of the deleted files that the service still has open."""
    total = 0
    for descriptor in Path(f"/proc/{service.process.pid}/fd").iterdir():
        with suppress(OSError):
            if str(descriptor.readlink()).endswith("(deleted)"):
                total += descriptor.stat().st_size
    return total
