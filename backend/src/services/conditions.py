"""Conditions on rows, each of which holds if its parameter is null.

PostgreSQL must plan a statement that has them for its values (`PLAN_FOR_THESE_PARAMETERS`). It then drops those
whose parameter is null.
"""

import re
from typing import Any

# A search uses the index for its longest words, and reads the rest of them in the rows that this finds.
_INDEXED_WORDS = ("word_1", "word_2", "word_3")


def if_given(parameter: str, of_type: str, condition: str) -> str:
    """Return `condition`, with `{}` for the value of `parameter`."""
    value = f"CAST(:{parameter} AS {of_type})"
    return f"({value} IS NULL OR {condition.format(value)})"


def holds_words(searched: str) -> str:
    """Return the condition that the text `searched` has all words of `word_parameters` in it, in any case."""
    words = [if_given(word, "text", f"{searched} ILIKE {{}}") for word in _INDEXED_WORDS]
    return " AND ".join([*words, if_given("more_words", "text[]", f"{searched} ILIKE ALL ({{}})")])


def word_parameters(query: str | None) -> dict[str, Any]:
    """Return the parameters of `holds_words` for the words of `query`, if it is given."""
    words = sorted(set((query or "").split()), key=len, reverse=True)
    patterns: list[str | None] = [f"%{_literally(word)}%" for word in words]
    first, more = patterns[: len(_INDEXED_WORDS)], patterns[len(_INDEXED_WORDS) :]
    first += [None] * (len(_INDEXED_WORDS) - len(first))
    return {**dict(zip(_INDEXED_WORDS, first, strict=True)), "more_words": more or None}


def _literally(word: str) -> str:
    """Return the pattern of LIKE that stands for `word`."""
    return re.sub(r"([\\%_])", r"\\\1", word)
