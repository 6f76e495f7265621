"""The README, typed as it stands: every command of it runs, and answers as is shown."""

import json
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from config import BACKEND
from tests import CALLERS_NETWORK
from tests.support.clusters import cluster_dir
from tests.support.command import run_command
from tests.support.databases import environment_of
from tests.support.readme import Block, readme_blocks
from tests.support.service import Service

BASH = shutil.which("bash") or "bash"

# Commands that serve until they are stopped.
SERVERS = ("make run", "../.venv/bin/uvicorn ")
# What must have the data to itself.
ALONE = "../.venv/bin/alembic "

A_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
LANGUAGES = {"sh", "console", "python", "ts", "sql", "text"}


class Reader:
    """Somebody who types what the README shows, command by command.

    What a reader would put in, the URL of their database for example, is put in. The port and the
    place of the data are set in the environment, so that nobody else's are in the way.
    """

    def __init__(self, project: Path, data_dir: Path, replacements: dict[str, str]) -> None:
        self._project = project
        self._replacements = replacements
        self._assignments = ""
        self._server: Service | None = None
        # Of all tests, those of one file.
        a_few = "--numprocesses=0 -k test_timestamps --ignore-glob=*/[!u]*/test_*"
        self._environment = {"DATA_DIR": str(data_dir), "PYTEST_ADDOPTS": a_few}

    def read(self, block: Block) -> None:
        match block.language:
            case "sh":
                self._type_commands(block.code)
            case "console":
                self._compare_answers(block.code)
            case "python":
                self._run_test(block.code)
            case "ts":
                self._compile(block.code)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(signal.SIGINT)
            self._server = None

    def _type_commands(self, code: str) -> None:
        """Run each command of a block. A directory holds until the block ends."""
        directory = self._project
        for line in joined_lines(code):
            command = re.sub(r"\s+# .*", "", line)
            if command.startswith("cd "):
                directory /= command.removeprefix("cd ")
            elif command.startswith(SERVERS):
                self.serve(command, directory)
            else:
                if command.startswith(ALONE):
                    self.stop()
                self._run(command, directory)

    def serve(self, command: str, directory: Path) -> None:
        self.stop()
        self._server = Service(shlex.split(command), directory, **self._environment)
        self._server.wait_until_up().close()

    def _run(self, command: str, directory: Path) -> str:
        script = self._assignments + command
        port = str(self._server.port) if self._server else ""
        for shown, real in (*self._replacements.items(), ("localhost:8000", f"localhost:{port}")):
            script = script.replace(shown, real)
        network = CALLERS_NETWORK if command.startswith("npm ") else {}
        return run_command([BASH, "-euc", script], directory, {**network, **self._environment, "PORT": port})

    def _compare_answers(self, code: str) -> None:
        """Run each command after a `$`, and compare what it prints with what is shown, ids and times apart."""
        for entry in "\n".join(joined_lines(f"\n{code}")).split("\n$ ")[1:]:
            command, _, shown = entry.partition("\n")
            if re.match("[A-Z]+=", command):
                self._assignments += f"{command}\n"
                continue
            printed = self._run(command.replace("curl ", "curl --silent --show-error "), self._project)
            assert shape_of(printed) == shape_of(shown), f"{command}\n{printed}"
            # From here on, the ids that are shown stand for those that there are.
            self._replacements |= zip(re.findall(A_UUID, shown), re.findall(A_UUID, printed), strict=True)

    def _run_test(self, code: str) -> None:
        self.stop()
        (self._project / "test_theirs.py").write_text(code)
        command = "PYTHONPATH=backend PYTEST_ADDOPTS= .venv/bin/python -m pytest -q test_theirs.py"
        assert "1 passed" in self._run(command, self._project)

    def _compile(self, code: str) -> None:
        (self._project / "shown.ts").write_text(f"declare function showToast(text: string): void;\n{code}")
        self._run("npx tsc --strict --noEmit --target es2022 --module nodenext shown.ts", self._project)


def joined_lines(code: str) -> list[str]:
    """The lines of `code`, with those that a backslash continues in one."""
    return re.sub(r"\\\n\s*", "", code).split("\n")


def shape_of(answer: str) -> str:
    """An answer of the service, without its ids and times."""
    return json.dumps(json.loads(re.sub(rf"{A_UUID}|\d{{4}}-\d\d-\d\dT[\d:.]+Z", "?", answer)))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository in a path with a space, whose virtual environment is that of this run."""
    project = tmp_path / "a path with a space" / "task backend"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
    shutil.copytree(BACKEND.parent, project, ignore=ignored)
    venv = project / ".venv"
    venv.mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.startswith("installed"):
            (venv / part.name).symlink_to(part)
    for stamp in ("installed", "installed-test"):
        (venv / stamp).touch()
    return project


@pytest.fixture
def reader(checkout: Path, database_url: URL, server_url: URL, empty_database: Callable[[], URL]) -> Iterator[Reader]:
    replacements = {
        "postgresql://user:password@ep-name.region.aws.neon.tech/tasks?sslmode=require": environment_of(
            empty_database()
        ),
        "postgresql://user:password@localhost/postgres": environment_of(server_url),
    }
    with cluster_dir() as data_dir:
        reader = Reader(checkout, data_dir, replacements)
        yield reader
        reader.stop()


def is_for_node(block: Block) -> bool:
    return block.language == "ts" or block.code.startswith("npm ")


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in readme_blocks()} <= LANGUAGES


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (apt-get install curl)")
def test_every_command_runs_and_answers_as_shown(reader: Reader) -> None:
    for block in readme_blocks():
        if not is_for_node(block):
            reader.read(block)


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm")
def test_the_commands_for_typescript_run_and_its_code_compiles(reader: Reader, checkout: Path) -> None:
    reader.serve("make run", checkout)
    for block in readme_blocks():
        if is_for_node(block):
            reader.read(block)
