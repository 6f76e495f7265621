"""JSON that is already written, which is put together without being parsed again."""

from collections.abc import Iterable
from typing import NewType

# A complete JSON value. Most are written by PostgreSQL.
JsonText = NewType("JsonText", str)

NULL = JsonText("null")


def json_array(items: Iterable[str]) -> JsonText:
    """Return the array of `items`, each a JSON text."""
    return JsonText(f"[{','.join(items)}]")


def json_object(**members: str) -> JsonText:
    """Return the object of `members`, each value a JSON text, in the order given."""
    return JsonText("{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}")
