"""The service as a process, started and stopped as a person would."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil

from config import BACKEND
from tests.support.client import Api
from tests.support.waiting import PATIENCE_S, wait_until

MAIN = [sys.executable, "main.py"]


# These lie below the ephemeral ports, so the kernel gives none of them away before the test uses it. Each process of
# pytest-xdist has a part of its own, and two runs rarely meet in it.
_PORTS_OF_A_PROCESS = 2000
_first_port = 10_000 + _PORTS_OF_A_PROCESS * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10)
_ports = count(random.randrange(_PORTS_OF_A_PROCESS))  # noqa: S311  # No secret.


def free_port() -> int:
    """Return a port that nothing listens on and that no other test gets."""
    while True:
        port = _first_port + next(_ports) % _PORTS_OF_A_PROCESS
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_until_it_answers(
    address: str, server: subprocess.Popen[Any], output: Callable[[], str] = lambda: "It ended."
) -> None:
    """Wait for the first answer of `server`. If it ends instead, fail with its `output`."""
    wait_until(
        lambda: server.poll() is not None or httpx.get(f"{address}/health"), output, not_yet=(httpx.TransportError,)
    )
    assert server.poll() is None, output()


class Service:
    """A running service, started as `command`, and what it prints."""

    def __init__(self, command: list[str], backend: Path = BACKEND, **environment: str) -> None:
        self.port = int(environment.get("PORT") or free_port())
        # The command `uvicorn` reads UVICORN_PORT, everything else PORT.
        ports = dict.fromkeys(("UVICORN_PORT", "PORT"), str(self.port))
        self.process = subprocess.Popen(
            command,
            cwd=backend,
            env={**os.environ, **ports, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def wait_until_up(self) -> Api:
        address = f"http://127.0.0.1:{self.port}"
        wait_until_it_answers(address, self.process, lambda: self.output)
        return Api(base_url=address)

    def wait_for(self, line: str, times: int = 1) -> None:
        """Wait until the service has printed `line` that many `times`."""
        wait_until(lambda: self.output.count(line) >= times, lambda: self.output)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the service and every process that it started; return its exit status."""
        family = self.family()
        if how is signal.SIGINT:
            # On Ctrl-C, a terminal signals every process in its foreground group.
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        status = self.wait()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        assert alive == []
        return status

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait(self) -> int:
        status = self.process.wait(PATIENCE_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def running(command: list[str], backend: Path = BACKEND, **environment: str) -> Iterator[tuple[Service, Api]]:
    service = Service(command, backend, **environment)
    try:
        with service.wait_until_up() as api:
            yield service, api
        if service.process.poll() is None:
            assert service.stop() == 0
    except BaseException as error:
        error.add_note(f"The service printed:\n{service.output}")
        raise
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.wait()
