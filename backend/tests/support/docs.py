"""What the README and the pages of docs/ show, for the tests that do as they say."""

import re
from pathlib import Path
from typing import NamedTuple

from config import BACKEND

ROOT = BACKEND.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block of code, and its language."""

    language: str
    code: str


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of code of `page`, in order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text())]


def prose_of(page: Path) -> str:
    """Return `page` without its blocks of code."""
    return _BLOCK.sub("", page.read_text())
