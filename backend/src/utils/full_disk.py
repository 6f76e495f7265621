"""The sign that the embedded PostgreSQL cannot start because its disk is full.

The process that runs it and those that serve share nothing but the directory of its socket.
"""

import os
from contextlib import suppress
from pathlib import Path

_NAME = "disk-full"


def mark_disk_full(socket_dir: Path) -> None:
    """Leave the sign, if it can be left."""
    with suppress(OSError):
        # Another account owns the directory, and must not lead root to another file.
        os.close(os.open(socket_dir / _NAME, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))


def unmark_disk_full(socket_dir: Path) -> None:
    """Remove the sign, if it is there."""
    with suppress(OSError):
        (socket_dir / _NAME).unlink()


def is_marked_full(socket_dir: Path) -> bool:
    """Tell whether the sign is there."""
    with suppress(OSError):
        return (socket_dir / _NAME).exists()
    return False
