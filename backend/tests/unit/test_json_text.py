"""JSON arrays in temporary files, and the limit on their size."""

import resource
from collections.abc import Iterator

import pytest

from src.utils.json_text import JsonFile, NoSpace, Space

MEGABYTE = 2**20


def array_of(space: Space, *items: str) -> bytes:
    array = JsonFile(space)
    try:
        array.extend(items)
        array.end()
        written = b"".join(array.chunks())
        assert len(written) == array.size()
        return written
    finally:
        array.close()


@pytest.fixture
def disk_of_two_megabytes() -> Iterator[None]:
    """Files cannot grow past two megabytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MEGABYTE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("items", [[], ["1"], ["1", '{"a":2}'], ['"x"'] * MEGABYTE])
def test_an_array_contains_its_items(items: list[str]) -> None:
    assert array_of(Space(10 * MEGABYTE), *items).decode() == f"[{','.join(items)}]"


def test_arrays_share_a_space_and_give_it_back() -> None:
    space = Space(100)
    first = JsonFile(space)
    first.extend(["1" * 60])
    with pytest.raises(NoSpace, match="unread lists fill the 100 bytes that they may use"):
        array_of(space, "2" * 60)
    first.close()
    first.close()
    assert array_of(space, "2" * 60) == b"[" + b"2" * 60 + b"]"


def test_a_full_disk_raises_no_space(disk_of_two_megabytes: None) -> None:
    space = Space(10 * MEGABYTE)
    with pytest.raises(NoSpace, match="a temporary file: "):
        array_of(space, '"x"' * MEGABYTE)
    assert array_of(space, '"x"' * (MEGABYTE // 2)).startswith(b'["x"')
    space.take(10 * MEGABYTE)
