"""The service as a process, started and stopped as a person does."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from sqlalchemy import URL

from config import BACKEND
from tests.client import Api

MAIN = [sys.executable, "main.py"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def environment_of(url: URL) -> str:
    """Return `url` as DATABASE_URL has it."""
    return url.render_as_string(hide_password=False)


class Service:
    """A running service, started as `command`, and what it prints."""

    def __init__(self, command: list[str], backend: Path = BACKEND, **environment: str) -> None:
        self.port = free_port()
        if "uvicorn" in command:
            command = [*command, "--port", str(self.port)]
        bare = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR", "LANG")}
        self.process = subprocess.Popen(
            command,
            cwd=backend,
            env={**bare, "PORT": str(self.port), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def wait_until_up(self) -> Api:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/health")
            except httpx.TransportError:
                time.sleep(0.02)
            else:
                return Api(base_url=f"http://127.0.0.1:{self.port}")
        raise AssertionError(f"The service is not up:\n{self.output}")

    def wait_for(self, line: str, times: int = 1) -> None:
        """Wait until the service has printed `line` so many times."""
        deadline = time.monotonic() + 30
        while self.output.count(line) < times:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the service and return its exit status, once every process of its own has ended."""
        family = self.family()
        self.process.send_signal(how)
        status = self.wait()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []
        return status

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait(self) -> int:
        status = self.process.wait(60)
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
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.wait()
