"""A TypeScript client whose types all come from `openapi.json`, against the live service."""

import re
import shutil
from pathlib import Path

import pytest

from config import BACKEND
from tests import CALLERS_NETWORK
from tests.support.client import Api
from tests.support.command import run_command

NPM = shutil.which("npm")


@pytest.mark.skipif(NPM is None, reason="needs Node.js and npm")
def test_a_typed_client_compiles_and_walks_through_a_tasks_life(api: Api, tmp_path: Path) -> None:
    client = shutil.copytree(BACKEND / "tests" / "typescript", tmp_path / "client")

    def run(*command: str) -> None:
        # The registry may be reachable only through the proxy of this machine.
        run_command(command, client, CALLERS_NETWORK)

    run("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
    run("npx", "openapi-typescript", str(BACKEND / "openapi.json"), "--output", "api.d.ts")
    run("npx", "tsc")
    run("node", "built/client.js", str(api.base_url))

    types = re.sub(r"/\*.*?\*/", "", (client / "api.d.ts").read_text(), flags=re.DOTALL)
    assert not re.search(r"\bany\b", types)
    assert not re.search(r"\b(any|as)\b", re.sub(r"//.*", "", (client / "client.ts").read_text()))
    assert api.history()["pagination"]["total_count"] == 7
