"""Answers that are sent as they come into being, past the envelope."""

from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import Receive


async def until_left(receive: Receive) -> None:
    """Return once the caller has left."""
    # A body that nobody asked for may be too large.
    with suppress(HTTPException):
        while (await receive())["type"] != "http.disconnect":
            pass
