"""Responses in the envelope. Nothing else in the service writes a body."""

from collections.abc import Mapping

from starlette.responses import Response

from src.schemas.envelope import Failure, Popup
from src.utils.json_text import JsonText


def success(data: JsonText, popup: Popup | None = None, status_code: int = 200) -> Response:
    """Return the response that carries `data` in the envelope."""
    toast = f'"{popup}"' if popup else "null"
    return _json(f'{{"success":true,"data":{data},"popup":{toast},"error":null}}', status_code)


def failure(status_code: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response that tells the caller of `error`, one readable sentence."""
    return _json(Failure(error=error).model_dump_json(), status_code, headers)


def _json(body: str, status_code: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status_code, headers, media_type="application/json")
