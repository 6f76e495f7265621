"""The API under requests that nobody thought of: the short form of `make torture` and `make fuzz`."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import URL

from tests.drills.raw_requests import RawCaller
from tests.support.client import Api
from tests.support.model import hold_to_model
from tests.support.waiting import PATIENCE_S


def test_the_api_does_what_its_model_does(
    live_app: tuple[FastAPI, str], clone: Callable[[], AbstractContextManager[URL]]
) -> None:
    hold_to_model(*live_app, clone, runs=15, steps=30)


def test_the_api_is_what_its_openapi_document_says(api: Api, tmp_path: Path) -> None:
    """Schemathesis makes requests from the document, good and bad, and checks the answers against it."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.base_url}/openapi.json"),
            *("--checks", "all", "--max-examples", "10", "--seed", "1", "--no-color"),
            # How long an answer may take is nothing that the document says.
            *("--max-response-time", str(PATIENCE_S), "--request-timeout", str(PATIENCE_S)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


def test_no_bytes_crash_the_service(api: Api) -> None:
    caller = RawCaller(str(api.base_url.host), api.base_url.port or 80, seed=1)
    caller.send(1000)
    assert caller.server_errors == []
    assert caller.answers > 900
    assert api.list_tasks() is not None
