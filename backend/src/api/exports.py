"""Answers that are files: an export of the tasks or of the history, streamed past the envelope."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import Query, Request, Response
from starlette.types import Receive, Scope, Send

from src.api.dependencies import PAGED, Responses
from src.api.streams import until_left
from src.exceptions.errors import DatabaseUnavailable, InvalidInput
from src.services.exports import ExportFormat

_MEDIA_TYPES = {ExportFormat.CSV: "text/csv", ExportFormat.NDJSON: "application/x-ndjson"}

# An export has no pages.
_OF_PAGES = ("limit", "page", "offset", "cursor")

FormatOfExport = Annotated[
    ExportFormat | None,
    Query(alias="format", description="Download everything that matches as a file of this format, not as pages."),
]

_DISPOSITION = {
    "description": 'Of an export: `attachment; filename="…"`.',
    "schema": {"type": "string"},
}
EXPORTED: Responses = {
    200: {
        "headers": {**PAGED[200]["headers"], "Content-Disposition": _DISPOSITION},
        "content": {media_type: {"schema": {"type": "string"}} for media_type in _MEDIA_TYPES.values()},
    }
}


async def answer_export(
    request: Request, name: str, export_format: ExportFormat, chunks: AsyncGenerator[bytes]
) -> Response:
    """Return the response that streams `chunks` as a file, once the first has arrived.

    Raises `InvalidInput` if the request also asks for a page, and what the first chunk raises.
    """
    for parameter in _OF_PAGES:
        if parameter in request.query_params:
            raise InvalidInput("format", f"cannot be combined with {parameter}")
    first = await anext(chunks, b"")
    return _Download(first, chunks, _MEDIA_TYPES[export_format], f"{name}.{export_format}")


class _Download(Response):
    """Streams as fast as the caller reads. It stops if the caller leaves."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes], media_type: str, filename: str) -> None:
        super().__init__(media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{filename}"'})
        del self.headers["Content-Length"]
        self._first, self._rest = first, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(until_left(receive))
        try:
            async with aclosing(self._rest) as rest:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                # A caller of HEAD, who wants no more, has left by now.
                await asyncio.sleep(0)
                chunk: bytes | None = self._first
                while not leaving.done():
                    if chunk is None:
                        await send({"type": "http.response.body"})
                        return
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    chunk = await anext(rest, None)
        except DatabaseUnavailable:
            # The headers have left. Without its end, the server closes the connection, which tells the caller.
            return
        finally:
            leaving.cancel()
