"""A client in TypeScript, with no types but those of `openapi.json`, against the live service."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config import BACKEND
from tests.client import Api

NPM = shutil.which("npm")


@pytest.mark.skipif(NPM is None, reason="needs Node.js and npm")
def test_a_typed_client_compiles_and_walks_through_a_tasks_life(api: Api, tmp_path: Path) -> None:
    client = shutil.copytree(BACKEND / "tests" / "typescript", tmp_path / "client")

    def run(*command: str) -> None:
        done = subprocess.run(command, check=False, cwd=client, capture_output=True, text=True, timeout=300)
        if re.search(r"npm (error|ERR!) network", done.stderr):
            pytest.skip("needs the npm registry")
        assert done.returncode == 0, done.stdout + done.stderr

    # What the README shows must compile too.
    [shown] = re.findall(r"```ts\n(.*?)```", (BACKEND.parent / "README.md").read_text(), re.DOTALL)
    (client / "readme.ts").write_text(f"declare function showToast(text: string): void;\n{shown}")

    run("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
    run("npx", "openapi-typescript", str(BACKEND / "openapi.json"), "--output", "api.d.ts")
    run("npx", "tsc")
    run("node", "built/client.js", str(api.base_url))

    types = re.sub(r"/\*.*?\*/", "", (client / "api.d.ts").read_text(), flags=re.DOTALL)
    assert not re.search(r"\bany\b", types)
    assert not re.search(r"\b(any|as)\b", re.sub(r"//.*", "", (client / "client.ts").read_text()))
    assert api.history()["pagination"]["total_count"] == 5
