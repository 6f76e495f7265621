"""JSON that is already written, which is put together without being parsed again."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NewType

# A complete JSON value. Most are written by PostgreSQL.
JsonText = NewType("JsonText", str)

NULL = JsonText("null")

_IN_MEMORY_BYTES = 2**20
_CHUNK_BYTES = 2**17


def json_array(items: Iterable[str]) -> JsonText:
    """Return the array of `items`, each a JSON text."""
    return JsonText(f"[{','.join(items)}]")


def json_object(**members: str) -> JsonText:
    """Return the object of `members`, each value a JSON text, in the order given."""
    return JsonText("{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}")


class NoSpace(Exception):
    """There is no space for an array. The message says why, for the log."""


class Space:
    """What the arrays of one process may take up in all, in memory and in temporary files: `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._free_bytes = limit_bytes

    def take(self, size: int) -> None:
        """Take some of it. Raises `NoSpace`."""
        if size > self._free_bytes:
            raise NoSpace(f"the lists that are not read yet fill their {self._limit_bytes:,} bytes")
        self._free_bytes -= size

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._free_bytes += size


class JsonFile:
    """An array that may be too long for memory: what is beyond 1 MiB goes to a temporary file."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._taken_bytes = 0
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  # `close` closes it.
        self._before_items = b"["

    def extend(self, items: Iterable[str]) -> None:
        """Append items, each a JSON text. Raises `NoSpace`."""
        text = ",".join(items)
        if text:
            self._write(self._before_items + text.encode())
            self._before_items = b","

    def end(self) -> None:
        """Append nothing more: the array is complete. Raises `NoSpace`."""
        self._write(b"[]" if self._before_items == b"[" else b"]")
        self._flush()

    def size(self) -> int:
        """Return the length of the complete array in bytes."""
        return self._file.tell()

    def chunks(self) -> Iterator[bytes]:
        """Yield the complete array, some of it at a time."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        """Remove the file, if there is one."""
        self._space.give_back(self._taken_bytes)
        self._taken_bytes = 0
        with suppress(OSError):
            # What could not be written before cannot be written now.
            self._file.close()

    def _write(self, data: bytes) -> None:
        self._space.take(len(data))
        self._taken_bytes += len(data)
        with _no_space_on_disk():
            self._file.write(data)

    def _flush(self) -> None:
        with _no_space_on_disk():
            self._file.flush()


@contextmanager
def _no_space_on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NoSpace(f"a temporary file: {error.strerror}") from error
