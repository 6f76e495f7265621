"""The headers of conditional and of repeated requests, as they are read."""

import pytest
from fastapi import Request

from src.api.conditions import read_if_none_match, read_key, read_safeguards
from src.exceptions.errors import InvalidInput
from src.services.task_service import Safeguards


def request_with(name: str, *values: str) -> Request:
    return Request({"type": "http", "headers": [(name.lower().encode(), value.encode("latin-1")) for value in values]})


@pytest.mark.parametrize(
    ("values", "if_match", "if_none_match"),
    [
        ([], None, None),
        (["*"], None, ["*"]),
        (['"a"'], ["a"], ['"a"']),
        (['"*"'], ["*"], ['"*"']),
        (['""'], [""], ['""']),
        (['W/"a"'], [], ['"a"']),
        (['"a", W/"b" ,"c"'], ["a", "c"], ['"a"', '"b"', '"c"']),
        ([',,\t "a",\t,'], ["a"], ['"a"']),
        (['"a,b","W/",W/"W/"'], ["a,b", "W/"], ['"a,b"', '"W/"', '"W/"']),
        (['"a"', 'W/"b"', '"c"'], ["a", "c"], ['"a"', '"b"', '"c"']),
        (['"a"', ""], ["a"], ['"a"']),
        (['"é\xff"'], ["é\xff"], ['"é\xff"']),
    ],
)
async def test_entity_tags_are_read(
    values: list[str], if_match: list[str] | None, if_none_match: list[str] | None
) -> None:
    assert await read_safeguards(request_with("If-Match", *values)) == Safeguards(if_match, None)
    assert await read_if_none_match(request_with("If-None-Match", *values)) == if_none_match


# About 60 kB each: twice what the server lets through. None may take more than a moment.
HOSTILE_TAGS = [
    "," * 60_000,
    ", " * 30_000 + "x",
    '"' * 60_001,
    '"a"' * 20_000,
    '"a",' * 15_000 + "x",
    '"a" , ' * 10_000 + "x",
    '"a"' + " " * 60_000 + "x",
    '"a"' + ", " * 30_000 + "x",
    'W/"a",' * 10_000 + "W/",
    "W/" * 30_000,
    "*" * 60_000,
    "*," * 30_000,
    '"' + "a" * 60_000,
]


@pytest.mark.parametrize("value", HOSTILE_TAGS, ids=lambda value: value[:12])
async def test_long_hostile_tags_are_refused(value: str) -> None:
    for name, read in (("If-None-Match", read_if_none_match), ("If-Match", read_safeguards)):
        with pytest.raises(InvalidInput) as refused:
            await read(request_with(name, value))
        assert refused.value.message.startswith(f"{name}: must be * or a list of entity tags")


async def test_a_list_of_very_many_tags_is_read() -> None:
    assert await read_safeguards(request_with("If-Match", '"",' * 20_000)) == Safeguards([""] * 20_000, None)
    assert await read_safeguards(request_with("If-Match", *['"a"'] * 20_000)) == Safeguards(["a"] * 20_000, None)
    assert await read_if_none_match(request_with("If-None-Match", 'W/"a" , ' * 8_000)) == ['"a"'] * 8_000


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("a", "a"),
        ('"a"', "a"),
        ('a"b', 'a"b'),
        (r'"a\"b"', 'a"b'),
        (r'"\\"', "\\"),
        (r'"\\\""', '\\"'),
        ("\\", "\\"),
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
        ('"' + r"\"" * 255 + '"', '"' * 255),
    ],
)
async def test_a_key_is_read(value: str, key: str) -> None:
    assert await read_key(request_with("Idempotency-Key", value)) == key
    assert await read_safeguards(request_with("Idempotency-Key", value)) == Safeguards(None, key)


@pytest.mark.parametrize(
    "value",
    ["x" * 60_000, '"' + "x" * 60_000, '"' + "\\\\" * 30_000, '"' + '\\"' * 30_000 + '"', "x " * 30_000, '"' * 60_000],
    ids=lambda value: value[:12],
)
async def test_a_long_hostile_key_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await read_key(request_with("Idempotency-Key", value))
    assert refused.value.message.startswith("Idempotency-Key: must be 1 to 255 visible ASCII characters")


async def test_without_the_headers_there_are_no_safeguards() -> None:
    request = request_with("Other", "x")
    assert await read_key(request) is None
    assert await read_if_none_match(request) is None
    assert await read_safeguards(request) == Safeguards(None, None)
