"""Values of If-Match, If-None-Match and Idempotency-Key: what the service accepts, and what it refuses.

Each value of entity tags, and each malformed key, is a list: one header line for each member.
"""

import httpx

from tests.support.client import Json

TAGS_RULE = 'must be * or a list of entity tags, such as "2026-11-20T16:45:12.345678Z" with its quotes'
KEY_RULE = "Idempotency-Key: must be 1 to 255 visible ASCII characters, bare or in double quotes"


def tag_of(task: Json) -> str:
    return f'"{task["updated_at"]}"'


def header_lines(name: str, *values: str | bytes) -> list[tuple[bytes, bytes]]:
    """Header lines of one name, one for each value."""
    return [(name.encode(), value.encode("latin-1") if isinstance(value, str) else value) for value in values]


def keyed(*values: str | bytes) -> list[tuple[bytes, bytes]]:
    """An Idempotency-Key header of one line for each value."""
    return header_lines("Idempotency-Key", *values)


def is_replay(response: httpx.Response) -> bool:
    assert response.headers.get("Idempotency-Replayed") in ("true", None)
    return "Idempotency-Replayed" in response.headers


# `{}` stands for the tag of the task.
MATCHING = [
    ["{}"],
    ["*"],
    ['"other", {}'],
    ['{}, "other"'],
    [',"other",,{},'],
    ['"other"', "{}"],
    ['W/"other", {}'],
    ['"é\x80\xff", {}'],
    ['"%s", "%(title)s", "\'\\", {}'],
]
NOT_MATCHING = [
    ['"other"'],
    ['""'],
    ["W/{}"],
    ["W/{}", '"other"'],
    ['"*"'],
    ['"W/", "{", "NULL"'],
    ['"%s", "%(title)s", "\'\\"'],
    ['"é\x80\xff"'],
]

MALFORMED_TAGS = [
    [""],
    [","],
    ["x"],
    ["2026-11-20T16:45:12.345678Z"],
    ['"'],
    ['"a'],
    ['a"'],
    ['"a" "b"'],
    ['"a"b"'],
    ['"a b"'],
    ['"a\tb"'],
    ['"a"; "b"'],
    ['w/"a"'],
    ['W / "a"'],
    ["W/"],
    ["W/a"],
    ["'a'"],
    ["**"],
    ["*, *"],
    ['*, "a"'],
    ['"a", *'],
    ["*", "*"],
    ['"a"', "b"],
    ['"a"', "*"],
    ['"a"' * 1000],
    ['"a",' * 1000 + "b"],
    ["," * 30_000],
    [", " * 15_000 + '"'],
    ['"a"' + " " * 30_000 + "x"],
    ['"a"' + "," * 30_000 + "x"],
    ['"' * 30_000 + "x"],
]

KEYS = [
    "a",
    "!",
    "~",
    "x" * 255,
    "a,b;c=d",
    "'",
    "%s",
    "%00",
    "\\",
    "--",
    "null",
    ":YWJj:",
    "?1",
    '"x"',
    '"' + "x" * 255 + '"',
    '"' + '\\"' * 255 + '"',
    '"' + "\\\\" * 255 + '"',
    'a"',
    "".join(map(chr, range(0x23, 0x7F))),
]

MALFORMED_KEYS: list[list[str | bytes]] = [
    [""],
    ['""'],
    ["a b"],
    ['"a b"'],
    ["a\tb"],
    ["x" * 256],
    ['"' + "x" * 256 + '"'],
    ['"' + '\\"' * 256 + '"'],
    ["x" * 20_000],
    ['"' + "\\\\" * 10_000],
    ['"'],
    ['"a'],
    ['"a"b'],
    ['"a"b"'],
    ['"a";b=1'],
    ['"a\\"'],
    ['"a\\b"'],
    ['"\\'],
    ["é"],
    [b"\xff"],
    [b"a\x80"],
    ["\U0001f6d2".encode()],
    ["a", "b"],
    ["a", "a"],
    ["", ""],
    ["a", ""],
    ['"a"', '"b"'],
]
