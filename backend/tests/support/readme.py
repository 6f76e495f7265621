"""What the README shows, for the tests that do as it says."""

import re
from typing import NamedTuple

from config import BACKEND

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block of code, and its language."""

    language: str
    code: str


def readme_blocks() -> list[Block]:
    """Return the blocks of code of the README, in order."""
    return [Block(*found) for found in _BLOCK.findall((BACKEND.parent / "README.md").read_text())]


def readme_code(language: str) -> list[str]:
    """Return the blocks that are in `language`."""
    return [block.code for block in readme_blocks() if block.language == language]
