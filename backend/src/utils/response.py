"""Responses in the envelope. Nothing else in the service writes a body."""

import json
from collections.abc import Mapping

from starlette.responses import Response

from src.utils.json_text import NULL, JsonText, json_object


def success(data: JsonText, popup: str | None = None, status_code: int = 200) -> Response:
    """Return the response that carries `data` in the envelope, with the code of the toast to show."""
    return _envelope(status_code, success=True, data=data, popup=popup, error=None)


def failure(status_code: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response that tells the caller of `error`, one readable sentence."""
    return _envelope(status_code, headers, success=False, data=NULL, popup=None, error=error)


def _envelope(
    status_code: int,
    headers: Mapping[str, str] | None = None,
    *,
    success: bool,
    data: JsonText,
    popup: str | None,
    error: str | None,
) -> Response:
    body = json_object(success=json.dumps(success), data=data, popup=json.dumps(popup), error=json.dumps(error))
    return Response(body, status_code, headers, media_type="application/json")
