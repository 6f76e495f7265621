"""JSON that is already written, which is put together without being parsed again."""

import tempfile
from collections.abc import Iterable, Iterator
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


class JsonFile:
    """An array that may be too long for memory: what is beyond 1 MiB goes to a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  # `close` closes it.
        self._before_items = b"["

    def extend(self, items: Iterable[str]) -> None:
        """Append items, each a JSON text."""
        text = ",".join(items)
        if text:
            self._file.write(self._before_items + text.encode())
            self._before_items = b","

    def end(self) -> None:
        """Append nothing more: the array is complete."""
        self._file.write(b"[]" if self._before_items == b"[" else b"]")

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
        self._file.close()
