"""New entries of the audit log, as they are written: `/events`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from src.api.dependencies import EVENTS_UNAVAILABLE, FAILURES, get_event_feed, operation_id
from src.api.event_stream import STREAMED, TAKES_POSITION, EventStream
from src.services.event_feed import EventFeed

router = APIRouter(tags=["history"], responses=FAILURES, generate_unique_id_function=operation_id)


@router.get(
    "/events",
    summary="Listen to changes",
    response_model=None,
    responses=STREAMED | EVENTS_UNAVAILABLE,
    openapi_extra=TAKES_POSITION,
)
async def listen_to_events(
    request: Request,
    feed: Annotated[EventFeed, Depends(get_event_feed)],
    after: Annotated[
        str | None, Query(description="The `id` of the last event that has arrived; `Last-Event-ID` wins over it.")
    ] = None,
) -> Response:
    """Stream every new entry of the audit log, as Server-Sent Events.

    Whoever comes back with the `id` of the last event gets what was missed first. An entry may come twice, and none
    is left out. After an event `reset`, read everything again: the `id` was unknown, or more than 1,000 entries were
    missed.
    """
    return EventStream(feed, await feed.listen(request.headers.get("last-event-id") or after))
