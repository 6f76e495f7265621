"""Responses in the envelope, which is built only here."""

import json
from collections.abc import AsyncIterator, Mapping

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from src.utils.json_text import NULL, JsonFile, JsonText, json_object

_MEDIA_TYPE = "application/json"
_RETRY_AFTER_S = 2


def success(
    data: JsonText, popup: str | None = None, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a successful response with `data`, and the code of the toast to show as `popup`."""
    body = json_object(success="true", data=data, popup=json.dumps(popup), error="null")
    return Response(body, status_code, headers, _MEDIA_TYPE)


def streamed_success(data: JsonFile) -> Response:
    """Return a successful response that streams `data` as fast as the caller reads it, and then closes it."""
    return _Streamed(data)


def failure(status_code: int, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a failed response; `error` is one readable sentence. A 503 says when to try again."""
    body = json_object(success="false", data=NULL, popup="null", error=json.dumps(error))
    retry_after = {"Retry-After": str(_RETRY_AFTER_S)} if status_code == 503 else {}
    return Response(body, status_code, {**retry_after, **(headers or {})}, _MEDIA_TYPE)


def entity_tag(updated_at: str) -> str:
    """Return the entity tag of a task (RFC 9110, 8.8.3): every change of a task sets a later `updated_at`."""
    return f'"{updated_at}"'


class _Streamed(StreamingResponse):
    _BEFORE, _AFTER = json_object(success="true", data=JsonText("|"), popup="null", error="null").encode().split(b"|")

    def __init__(self, data: JsonFile) -> None:
        self._data = data
        length = len(self._BEFORE) + data.size() + len(self._AFTER)
        super().__init__(self._body(), headers={"Content-Length": str(length)}, media_type=_MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # StreamingResponse would also listen to `receive`, and stop when an unneeded request body is
            # too large. Nothing is lost without it: sending to a caller who has left costs nothing.
            await self.stream_response(send)
        finally:
            self._data.close()

    async def _body(self) -> AsyncIterator[bytes]:
        yield self._BEFORE
        for chunk in self._data.chunks():
            yield chunk
        yield self._AFTER
