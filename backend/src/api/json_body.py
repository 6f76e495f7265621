"""Request bodies: strict JSON (RFC 8259).

Python's `json`, which FastAPI reads with, accepts NaN, duplicate names and other encodings; the faster
libraries accept duplicate names too, and cannot limit the number of fields. Delete this once the framework
takes a reader that refuses what `parse_json` refuses.
"""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

# Far more than a task has. Each unknown field costs pydantic an error, and a body with thousands of them would
# keep every other caller waiting.
_MAX_FIELDS = 100


class JsonRoute(APIRoute):
    """A route that reads its body with `parse_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Pass the request on as one that reads its JSON strictly."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse_json(await self.body())


def parse_json(body: bytes) -> Any:
    """Return the value of `body`.

    Raises `HTTPException` (400) for anything that RFC 8259 forbids (other encodings than UTF-8, NaN and
    Infinity) or warns of (duplicate names, numbers beyond a double, nesting without bounds), and for an
    object of more than 100 fields.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        _refuse("must be UTF-8")
    try:
        return _decoder.decode(text)
    except ValueError:
        _refuse("is not valid JSON")
    except RecursionError:
        _refuse("is nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _MAX_FIELDS:
        _refuse(f"must not have more than {_MAX_FIELDS} fields")
    names = dict(pairs)
    if len(names) < len(pairs):
        _refuse("must not name a field twice")
    return names


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"must not contain {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        _refuse("must not contain numbers out of range")
    return number


def _integer(digits: str) -> int:
    # No field needs 40 digits, and reading thousands of them costs time.
    return int(digits) if len(digits) < 40 else int(_finite(digits))


# Made once: `json.loads` would make one for each body.
_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer
)


def _refuse(rule: str) -> NoReturn:
    raise HTTPException(400, f"body: {rule}")
