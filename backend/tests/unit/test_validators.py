"""The rules for titles, descriptions, integers and UUIDs."""

import sys
import unicodedata
from uuid import UUID

import pytest
from pydantic_core import PydanticCustomError

from src.utils.validators import check_description, check_integer, check_text, check_title, check_uuid


def is_refused_as_blank(title: str) -> bool:
    try:
        check_title(title)
    except PydanticCustomError as error:
        return error.message() == "must contain a visible character"
    return False


def test_every_white_space_and_control_character_is_invisible() -> None:
    invisible = [
        character
        for character in map(chr, range(1, sys.maxunicode + 1))
        if unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc") or character.isspace()
    ]
    assert len(invisible) > 80
    assert [character for character in invisible if not is_refused_as_blank(character)] == []


def test_every_letter_digit_sign_and_symbol_is_visible() -> None:
    blank_by_design = {"\u115f", "\u1160", "\u3164", "\uffa0", "\u2800"}  # Hangul fillers and the empty Braille cell.
    visible = [
        character
        for character in map(chr, range(1, sys.maxunicode + 1))
        if unicodedata.category(character)[0] in "LNPS" and character not in blank_by_design
    ]
    assert len(visible) > 100_000
    assert [character for character in visible if is_refused_as_blank(character)] == []


@pytest.mark.parametrize("title", ["a", " a ", "\u200ba", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "0", "."])
def test_one_visible_character_makes_a_title(title: str) -> None:
    assert check_title(title) == title


@pytest.mark.parametrize("length", [0, 256, 10_000])
def test_a_title_has_1_to_255_characters(length: int) -> None:
    with pytest.raises(PydanticCustomError, match="must be 1 to 255 characters"):
        check_title("x" * length)


def test_a_description_has_at_most_5000_characters() -> None:
    assert check_description("x" * 5000) == "x" * 5000
    with pytest.raises(PydanticCustomError, match="must be at most 5000 characters"):
        check_description("x" * 5001)


@pytest.mark.parametrize("value", [None, 5, 1.5, True, b"bytes", [], {}])
def test_text_is_not_made_of_other_types(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="must be a string"):
        check_text(value)


@pytest.mark.parametrize(("text", "rule"), [("a\0", "NUL"), ("\ud83d", "surrogates"), ("\udc00x", "surrogates")])
def test_text_that_postgresql_cannot_store_is_refused(text: str, rule: str) -> None:
    with pytest.raises(PydanticCustomError, match=rule):
        check_text(text)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("007", 7), ("100", 100)])
def test_an_integer_is_decimal_digits(text: str, number: int) -> None:
    assert check_integer(text, 1, 100) == number


@pytest.mark.parametrize(
    "value", ["", "0", "101", "-1", "+1", "1.0", "1e2", "1_0", " 1", "1\n", "0x1", "\u0661", "9" * 5000, None, True]
)
def test_anything_else_is_no_integer(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="must be an integer from 1 to 100"):
        check_integer(value, 1, 100)


def test_a_uuid_is_read_in_either_case() -> None:
    text = "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"
    assert check_uuid(text) == check_uuid(text.upper()) == UUID(text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "42",
        "0b7e1f0a6f0e4c2b9d0e2f6a5f1c9a11",
        "{0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11}",
        "urn:uuid:0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11",
        "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11\n",
        "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a1g",
        None,
    ],
)
def test_anything_else_is_no_uuid(value: object) -> None:
    with pytest.raises(PydanticCustomError, match="must be a UUID"):
        check_uuid(value)
