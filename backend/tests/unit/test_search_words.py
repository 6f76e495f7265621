"""The words of a search, as the parameters of its condition."""

from typing import Any

import pytest

from src.services.conditions import word_parameters

NOTHING = {"word_1": None, "word_2": None, "word_3": None, "more_words": None}


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (None, {}),
        ("milk", {"word_1": "%milk%"}),
        (" milk\tmilk\n", {"word_1": "%milk%"}),
        (
            "a milk butter eggplant",
            {"word_1": "%eggplant%", "word_2": "%butter%", "word_3": "%milk%", "more_words": ["%a%"]},
        ),
        ("100%_\\", {"word_1": r"%100\%\_\\%"}),
        ("äöü", {"word_1": "%äöü%"}),
    ],
)
def test_the_longest_words_are_looked_up_in_the_index(query: str | None, parameters: dict[str, Any]) -> None:
    assert word_parameters(query) == {**NOTHING, **parameters}


@pytest.mark.parametrize("word", ["ab", "C++", "a_b_c", "____", "→", "😀😀😀", "a-b"])
def test_a_word_without_a_trigram_is_not(word: str) -> None:
    found = word_parameters(word)
    assert (found["word_1"], len(found["more_words"])) == (None, 1)
