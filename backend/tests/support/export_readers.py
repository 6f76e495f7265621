"""Callers who read the beginning of an export, stop, and later read its rest."""

import http.client
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.waiting import PATIENCE_S

CURL = shutil.which("curl") or "curl"
needs_curl = pytest.mark.skipif(not shutil.which(CURL), reason="needs curl (apt-get install curl)")

# Reads the rest of an export, and tells whether its caller takes the whole for complete.
Finish = Callable[[], bool]
# Reads the beginning of the export at a URL.
Reader = Callable[[str], AbstractContextManager[Finish]]


@contextmanager
def httpx_reads(url: str) -> Iterator[Finish]:
    with httpx.stream("GET", url, timeout=PATIENCE_S) as response:
        assert response.status_code == 200
        chunks = response.iter_raw()
        next(chunks)

        def finish() -> bool:
            try:
                for _ in chunks:
                    pass
            except httpx.RemoteProtocolError:
                return False
            return True

        yield finish


@contextmanager
def http_client_reads(url: str) -> Iterator[Finish]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=PATIENCE_S)
    connection.request("GET", f"{address.path}?{address.query}")
    response = connection.getresponse()
    assert response.status == 200
    response.read(1000)

    def finish() -> bool:
        try:
            response.read()
        except http.client.IncompleteRead:
            return False
        return True

    try:
        yield finish
    finally:
        connection.close()


@contextmanager
def curl_reads(url: str) -> Iterator[Finish]:
    """It stops reading as soon as nobody reads its output."""
    with subprocess.Popen([CURL, "--silent", "--fail", url], stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        output = curl.stdout
        assert output.read(1000)

        def finish() -> bool:
            while output.read(2**20):
                pass
            status = curl.wait(PATIENCE_S)
            # 18: "Partial file. Only a part of the file was transferred."
            assert status in (0, 18)
            return status == 0

        yield finish


READERS = [httpx_reads, http_client_reads, pytest.param(curl_reads, marks=needs_curl)]
