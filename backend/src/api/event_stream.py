"""Answers that go on for as long as their caller listens: Server-Sent Events."""

import asyncio
from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

from src.api.dependencies import Responses
from src.api.streams import until_left
from src.schemas.samples import EVENTS
from src.services.event_feed import EventFeed
from src.services.listener import Listener
from src.serving.protocol import ENDLESS

_MEDIA_TYPE = "text/event-stream"

STREAMED: Responses = {
    200: {
        "description": "`retry` and the `id` of the present position, and then each new entry.",
        "content": {_MEDIA_TYPE: {"schema": {"type": "string"}, "example": EVENTS}},
    }
}
TAKES_POSITION: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "The `id` of the last event that has arrived. Browsers send it when they come back.",
            "schema": {"type": "string"},
        }
    ]
}


class EventStream(Response):
    """Sends what a listener is told, until the caller or the service ends it."""

    media_type = _MEDIA_TYPE

    def __init__(self, feed: EventFeed, listener: Listener) -> None:
        # nginx would hold events back.
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._feed, self._listener = feed, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = self._listener
        leaving = asyncio.create_task(until_left(receive))
        leaving.add_done_callback(lambda _: listener.end())
        try:
            if (endless := scope.get("extensions", {}).get(ENDLESS)) is not None:
                listener.write = endless["begin"]()
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (events := await listener.next()) is not None:
                await send({"type": "http.response.body", "body": events, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            leaving.cancel()
            self._feed.leave(listener)
