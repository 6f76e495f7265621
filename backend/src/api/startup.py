"""The start and the end of the application: its database, its middleware and its state."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config import ANY_HOST, ConfigurationError, Settings
from src.api import v1
from src.api.middleware import BodyLimit, HeadAsGet, Observed, UnexpectedErrors
from src.api.security import ApiKeys, TrustedHosts
from src.api.short_cut import ShortCut
from src.database.database import Database
from src.database.migrate import check_replica, prepare_schema
from src.database.search_indexes import build_search_indexes_in_background
from src.embedded_postgres.programs import EmbeddedPostgresError
from src.embedded_postgres.provision import provided_database
from src.observability.traces import configure_traces
from src.services.event_feed import EventFeed
from src.serving.connections import possible_connections
from src.serving.process import ended_by_signals, is_stopping, long_lived_objects
from src.serving.workers import join_workers

log = logging.getLogger(__name__)

# The message of each tells the operator in one sentence why the start failed.
START_FAILURES = (ConfigurationError, EmbeddedPostgresError)


class BeforeStart:
    """Holds the place of the middleware until the application starts, and refuses requests that come earlier.

    The middleware depends on the settings, which the application reads only when it starts. Delete this once
    `create_app` reads them itself, if an import of `main` may then fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            raise RuntimeError(
                "The application has not started: write `with TestClient(app) as client:`, or, around another client,"
                " `async with app.router.lifespan_context(app):`."
            )

        async def send_sentence(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, START_FAILURES):
                # Starlette's message is a traceback, which the server would print.
                message = {**message, "message": str(error)}
            await send(message)

        # Before the application: FastAPI sets up its traces as the start begins.
        configure_traces()
        await self.app(scope, receive, send_sentence)


@contextmanager
def started(app: FastAPI, settings: Settings) -> Iterator[None]:
    """Make the database ready, and have `app` serve from it through its middleware, until the block is left.

    Raises one of `START_FAILURES`.
    """
    with ExitStack() as stack:
        join_workers(settings)
        with ended_by_signals():
            ready, data = stack.enter_context(provided_database(settings))
            prepare_schema(ready)
            check_replica(ready)
        if ready.auto_migrate:
            build_search_indexes_in_background(ready)
        if settings.database_url is None:
            log.info("The data is in %s", data)
        database = stack.enter_context(closing(Database(ready)))
        replica = None
        if ready.database_read_url is not None:
            its_settings = ready.model_copy(update={"database_url": ready.database_read_url})
            replica = stack.enter_context(closing(Database(its_settings, database)))
        state = {
            "database": database,
            "replica": replica,
            # The other half of the connections is for requests.
            "event_feed": EventFeed(database, possible_connections(ready) // 2, is_stopping),
            "requires_key": bool(settings.api_key),
        }
        stack.enter_context(_served_through(app, _middleware(settings), state))
        stack.enter_context(long_lived_objects())
        yield


def _middleware(settings: Settings) -> list[Middleware]:
    """Return the middleware, the outermost first."""
    api_keys = [key.get_secret_value() for key in settings.api_key]
    return [
        Middleware(Observed),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.frontend_url,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
                "Last-Event-ID",
                "X-Request-ID",
            ],
            allow_credentials=True,
            expose_headers=[
                "Content-Disposition",
                "ETag",
                "History-ID",
                "Idempotency-Replayed",
                "Link",
                "Retry-After",
                "X-Request-ID",
            ],
        ),
        Middleware(UnexpectedErrors),
        *([] if ANY_HOST in settings.trusted_hosts else [Middleware(TrustedHosts, hosts=settings.trusted_hosts)]),
        *([Middleware(ApiKeys, keys=api_keys)] if api_keys else []),
        Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
        Middleware(HeadAsGet),
        Middleware(ShortCut, routes=v1.routes),
    ]


@contextmanager
def _served_through(app: FastAPI, middleware: Sequence[Middleware], state: Mapping[str, object]) -> Iterator[None]:
    """Replace `BeforeStart` with `middleware`, and add `state` to that of `app`, until the block is left.

    Then restore everything, because an application may be started again, or while already started.
    Middleware that somebody else has added stays in front.
    """
    stack_before, state_before = app.middleware_stack, app.state
    *added, before_start = app.user_middleware
    app.user_middleware = [*added, *middleware]
    app.middleware_stack = app.build_middleware_stack()
    app.user_middleware = [*added, before_start]
    app.state = State({**state_before._state, **state})
    # Drop the document: it depends on the state. The next request for it makes a new one.
    app.openapi_schema = None
    try:
        yield
    finally:
        app.middleware_stack, app.state = stack_before, state_before
        app.openapi_schema = None
