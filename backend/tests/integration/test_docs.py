"""The README and the pages of docs/, typed as they stand: every command runs, and answers as shown."""

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

from config import BACKEND, Settings
from tests import CALLERS_NETWORK
from tests.support.clusters import cluster_dir
from tests.support.command import run_command
from tests.support.databases import environment_of
from tests.support.docs import PAGES, ROOT, Block, blocks_of, prose_of
from tests.support.service import Service

BASH = shutil.which("bash") or "bash"

# Commands that serve until they are stopped.
SERVERS = ("make run", "../.venv/bin/uvicorn ")
# Commands that must have the data to themselves.
ALONE = "../.venv/bin/alembic "
# Commands that name the tests they run.
A_TEST = "../.venv/bin/python -m pytest "
# What is in commands for a service that runs: its address, or its data.
ADDRESS = "localhost:8000"
OF_A_SERVICE = (ADDRESS, "make backup")

A_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
A_TIME = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
LANGUAGES = {"sh", "console", "python", "ts", "sql", "text"}


class Reader:
    """Somebody who types what a page shows, command by command.

    The test fills in what a reader would, the URL of their database for example. It sets the port and
    the directory of the data in the environment, to stay clear of other services on this machine.
    """

    def __init__(self, project: Path, data_dir: Path, replacements: dict[str, str]) -> None:
        self._project = project
        self._replacements = replacements
        self._assignments = ""
        self._typescript = "declare function showToast(text: string, undo?: () => void): void;\n"
        self._server: Service | None = None
        # `make test` runs the tests of one file only.
        a_few = "-p no:xdist -k test_timestamps --ignore-glob=*/[!u]*/test_*"
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
                if command.startswith(A_TEST):
                    command = f"PYTEST_ADDOPTS=--numprocesses=0 {command}"
                self._run(command, directory)

    def serve(self, command: str, directory: Path) -> None:
        self.stop()
        self._server = Service(shlex.split(command), directory, **self._environment)
        self._server.wait_until_up().close()

    def _run(self, command: str, directory: Path) -> str:
        if self._server is None and any(part in command for part in OF_A_SERVICE):
            # The page takes a running service for granted.
            self.serve("make run", self._project)
        script = self._assignments + command
        port = str(self._server.port) if self._server else ""
        for shown, real in (*self._replacements.items(), (ADDRESS, f"localhost:{port}")):
            script = script.replace(shown, real)
        network = CALLERS_NETWORK if command.startswith("npm ") else {}
        return run_command([BASH, "-euc", script], directory, {**network, **self._environment, "PORT": port})

    def _compare_answers(self, code: str) -> None:
        """Run each command after a `$`, and compare what it prints with what is shown.

        Ids and times differ, but times that are shown as equal must be equal.
        """
        times_shown, times_printed = [], []
        for entry in "\n".join(joined_lines(f"\n{code}")).split("\n$ ")[1:]:
            command, _, shown = entry.partition("\n")
            if re.match("[A-Z]+=", command):
                self._assignments += f"{command}\n"
                continue
            printed = self._run(command.replace("curl ", "curl --silent --show-error "), self._project)
            assert shape_of(printed) == shape_of(shown), f"{command}\n{printed}"
            times_shown += re.findall(A_TIME, shown)
            times_printed += re.findall(A_TIME, printed)
            # From here on, the ids that are shown stand for the real ones.
            self._replacements |= zip(re.findall(A_UUID, shown), re.findall(A_UUID, printed), strict=True)
        assert first_places(times_printed) == first_places(times_shown), times_printed

    def _run_test(self, code: str) -> None:
        self.stop()
        (self._project / "test_theirs.py").write_text(code)
        command = "PYTHONPATH=backend PYTEST_ADDOPTS= .venv/bin/python -m pytest -q test_theirs.py"
        assert "1 passed" in self._run(command, self._project)

    def _compile(self, code: str) -> None:
        """Compile a block after those before it: they are parts of one program."""
        self._typescript += code
        (self._project / "shown.ts").write_text(self._typescript)
        self._run("npx tsc --strict --noEmit --target es2022 --module nodenext shown.ts", self._project)


def joined_lines(code: str) -> list[str]:
    """The lines of `code`; a line that a backslash continues is one with the next."""
    return re.sub(r"\\\n\s*", "", code).split("\n")


def shape_of(answer: str) -> str:
    """An answer of the service, without its ids and times."""
    return json.dumps(json.loads(re.sub(f"{A_UUID}|{A_TIME}", "?", answer)))


def first_places(values: list[str]) -> list[int]:
    """For each of `values`, the place of the first that equals it."""
    return [values.index(value) for value in values]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository in a path with a space, with the virtual environment of this run."""
    project = tmp_path / "a path with a space" / "task backend"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules")
    shutil.copytree(ROOT, project, ignore=ignored)
    venv = project / ".venv"
    venv.mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.startswith("installed"):
            (venv / part.name).symlink_to(part)
    # The packages are there, so `make` has none to install.
    for marker in re.findall(r"^\.venv/(installed[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE):
        (venv / marker).touch()
    return project


@pytest.fixture
def reader(
    checkout: Path, empty_data_dir: Path, database_url: URL, server_url: URL, empty_database: Callable[[], URL]
) -> Iterator[Reader]:
    replacements = {
        "/srv/restored": str(empty_data_dir),
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


def pages_with(languages: set[str], *, for_node: bool) -> list[Path]:
    """The pages with a block in one of `languages` that does, or does not, need Node.js."""
    return [
        page
        for page in PAGES
        if any(block.language in languages and is_for_node(block) == for_node for block in blocks_of(page))
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert page.read_text().count("```") == 2 * len(blocks_of(page))
    assert {block.language for block in blocks_of(page)} <= LANGUAGES


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (apt-get install curl)")
@pytest.mark.parametrize("page", pages_with({"sh", "console", "python"}, for_node=False), ids=name_of)
def test_every_command_runs_and_answers_as_shown(page: Path, reader: Reader) -> None:
    for block in blocks_of(page):
        if not is_for_node(block):
            reader.read(block)


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js and npm")
@pytest.mark.parametrize("page", pages_with({"sh", "ts"}, for_node=True), ids=name_of)
def test_the_commands_for_typescript_run_and_its_code_compiles(page: Path, reader: Reader) -> None:
    for block in blocks_of(page):
        if is_for_node(block):
            reader.read(block)


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of `page`: lower case, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_in_the_repository_that_a_page_names_is_there(page: Path) -> None:
    paths = re.findall(r"(?<![\w./-])(?:backend|src|tests|alembic|deploy|docs)/[\w./-]*[\w/]", page.read_text())
    # The reader's own file, if there is one.
    named = set(paths) - {"backend/.env"}
    assert {path for path in named if not (ROOT / path).exists() and not (BACKEND / path).exists()} == set()


def test_the_configuration_page_names_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| .+ \|$", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE)
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert dict(rows) == {name: shown_default(default) for name, default in defaults.items()}
    assert len(rows) == len(defaults)


def shown_default(default: object) -> str:
    if default in (None, ()):
        return "unset"
    value = ",".join(default) if isinstance(default, tuple) else default
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
