"""Alembic, as a person runs it."""

import os
import subprocess
import sys

from sqlalchemy import URL

from config import BACKEND
from tests.support.databases import environment_of


def alembic(url: URL, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `alembic` with `arguments` on the database at `url`."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": environment_of(url), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
