"""Commands that need a package registry."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

# npm cannot reach its registry, or something else answers in its place.
_WITHOUT_REGISTRY = re.compile(r"npm (error|ERR!) (network|code E[45]\d\d)")


def run_command(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> str:
    """Run `command` in `directory`, and return its output. Skip the test if npm cannot reach its registry."""
    ran = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if _WITHOUT_REGISTRY.search(ran.stderr):
        pytest.skip("needs the npm registry")
    assert ran.returncode == 0, f"{command[-1]}\n{ran.stdout}{ran.stderr}"
    return ran.stdout
