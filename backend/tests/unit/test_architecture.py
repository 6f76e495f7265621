"""The direction of imports: main -> api -> services -> models, and nothing back."""

import ast
from pathlib import Path

import pytest

from config import BACKEND

LEAVES = {
    "src.observability",
    "src.utils.calendar_days",
    "src.utils.cursors",
    "src.utils.derived_ids",
    "src.utils.full_disk",
    "src.utils.json_text",
    "src.utils.processes",
    "src.utils.timestamps",
    "src.utils.validators",
    "src.exceptions.errors",
}

# What each room may import of the project, beside itself.
ALLOWED = {
    "utils": set(),
    "observability": set(),
    "embedded_postgres": {"config"} | LEAVES,
    "exceptions": {"src.utils.response"},
    "database": {"config"} | LEAVES,
    "models": {"src.database.base"} | LEAVES,
    "schemas": {"src.models.task_history"} | LEAVES,
    "services": {"src.database", "src.models", "src.schemas"} | LEAVES,
    "api": {
        "src.services",
        "src.schemas",
        "src.models.task_history",
        "src.database.database",
        "src.database.disk",
        "src.database.migrate",
        "src.database.search_indexes",
        "src.embedded_postgres",
        "src.observability",
        "src.serving",
        "src.utils",
        "src.exceptions",
        "config",
    },
    "backups": {
        "config",
        "src.database.base",
        "src.database.connection",
        "src.database.faults",
        "src.database.migrate",
        "src.database.search_indexes",
        "src.embedded_postgres",
        "src.models",
    }
    | LEAVES,
    # The page: no Python.
    "web": set(),
    "serving": {"config", "src.database.migrate", "src.embedded_postgres", "src.utils.response"} | LEAVES,
}

FILES = sorted((BACKEND / "src").rglob("*.py"))


def imported_modules(file: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            assert node.module is not None
            modules.add(node.module)
    return modules


def is_within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(BACKEND)))
def test_imports_point_one_way(file: Path) -> None:
    room = file.relative_to(BACKEND / "src").parts[0]
    if room == "__init__.py":
        return
    own = {module for module in imported_modules(file) if is_within(module, {"src", "config", "main"})}
    assert {module for module in own if not is_within(module, ALLOWED[room] | {f"src.{room}"})} == set()


@pytest.mark.parametrize("room", ["services", "models", "schemas", "database"])
def test_below_the_api_nothing_knows_http(room: str) -> None:
    for file in (BACKEND / "src" / room).rglob("*.py"):
        assert not [
            module for module in imported_modules(file) if is_within(module, {"fastapi", "starlette", "uvicorn"})
        ]


def test_every_room_is_checked() -> None:
    assert {path.name for path in (BACKEND / "src").iterdir() if path.is_dir() and path.name != "__pycache__"} == set(
        ALLOWED
    )
