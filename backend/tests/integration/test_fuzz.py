"""The API under requests that nobody thought of: `make fuzz`, and the random bytes of `make torture`, for seconds."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from config import BACKEND
from tests.drills.raw_requests import RawRequests
from tests.support.client import Api
from tests.support.waiting import PATIENCE_S


@pytest.mark.skipif(
    find_spec("schemathesis") is None, reason="needs schemathesis: pip install -r requirements-test.txt"
)
def test_the_api_is_what_its_openapi_document_says(api: Api, tmp_path: Path) -> None:
    """Schemathesis makes good and bad requests from the document, and checks the answers against it."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(BACKEND / "schemathesis.toml")),
            *("run", f"{api.base_url}/openapi.json"),
            *("--max-examples", "10", "--seed", "1", "--no-color"),
            # The document promises nothing about the time of an answer.
            *("--max-response-time", str(PATIENCE_S), "--request-timeout", str(PATIENCE_S)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


def test_no_bytes_crash_the_service(api: Api) -> None:
    raw = RawRequests(str(api.base_url.host), api.base_url.port or 80, seed=1)
    raw.send(1000)
    assert raw.server_errors == []
    assert raw.answers > 900
    assert api.list_tasks() is not None
