"""JSON that is already serialized, and is assembled without being parsed again."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NewType

# A complete JSON value, which PostgreSQL has serialized in most cases.
JsonText = NewType("JsonText", str)

NULL = JsonText("null")

_IN_MEMORY_BYTES = 2**20
_CHUNK_BYTES = 2**17


def json_object(**members: str) -> JsonText:
    """Return the object of `members`, each value a JSON text, in the order given."""
    return JsonText("{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}")


class NoSpace(Exception):
    """An array does not fit into the space that is left. The message gives the reason, for the log."""


class Space:
    """The `limit_bytes` that all arrays of a process share, in memory and temporary files together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._free_bytes = limit_bytes

    def take(self, size: int) -> None:
        """Reserve `size` bytes. Raises `NoSpace` if fewer are free."""
        if size > self._free_bytes:
            raise NoSpace(f"unread lists fill the {self._limit_bytes:,} bytes that they may use")
        self._free_bytes -= size

    def give_back(self, size: int) -> None:
        """Free `size` reserved bytes."""
        self._free_bytes += size


class JsonFile:
    """An array that may be too long for memory: beyond 1 MiB, it moves to a temporary file."""

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
        """Complete the array. Raises `NoSpace`."""
        self._write(b"[]" if self._before_items == b"[" else b"]")
        self._flush()

    def size(self) -> int:
        """Return the length of the complete array in bytes."""
        return self._file.tell()

    def chunks(self) -> Iterator[bytes]:
        """Yield the complete array in chunks of at most 128 KiB."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        """Free the space, and remove the temporary file, if there is one."""
        self._space.give_back(self._taken_bytes)
        self._taken_bytes = 0
        with suppress(OSError):
            # Closing writes what is still buffered, which fails again if the disk is full.
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
