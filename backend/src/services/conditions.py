"""Conditions on rows, each of which holds if its parameter is null.

PostgreSQL must plan a statement that has them for its values (`PLAN_FOR_THESE_PARAMETERS`). It then drops those
whose parameter is null.
"""

import re
from typing import Any

# A search uses the index for its longest words, and looks for the others in the rows that these lead to.
_INDEXED_WORDS = ("word_1", "word_2", "word_3")
# A trigram has three letters or digits in a row. For a word without any, PostgreSQL would read the whole index.
_trigram = re.compile(r"[^\W_]{3}")


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
    parameters: dict[str, Any] = dict.fromkeys((*_INDEXED_WORDS, "more_words"))
    if query is None:
        return parameters
    words = sorted(set(query.split()), key=len, reverse=True)
    indexed = [word for word in words if _trigram.search(word)][: len(_INDEXED_WORDS)]
    more = [_pattern(word) for word in words if word not in indexed]
    parameters |= zip(_INDEXED_WORDS, map(_pattern, indexed), strict=False)
    parameters["more_words"] = more or None
    return parameters


def _pattern(word: str) -> str:
    """Return the pattern of LIKE for the texts with `word` in them."""
    literally = re.sub(r"([\\%_])", r"\\\1", word)
    return f"%{literally}%"
