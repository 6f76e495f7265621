"""The application, and `python main.py`, which serves it."""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from config import BACKEND, ConfigurationError, Settings, load_settings
from src.api import v1
from src.api.middleware import BodyLimit, HeadAsGet, RequestLog, UnexpectedErrors
from src.api.openapi import DocumentedApi
from src.database.database import Database
from src.database.embedded import EmbeddedPostgres, default_data_dir
from src.database.embedded_programs import EmbeddedPostgresError
from src.database.migrate import prepare_schema
from src.exceptions.handlers import register_handlers
from src.utils.processes import end_with_parent

# Longer than any statement may take, so that requests in flight can finish.
GRACEFUL_SHUTDOWN_S = 20


def create_app(settings: Settings) -> FastAPI:
    """Return the application, which expects its database to be ready (`prepare_schema`)."""
    database = Database(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    app = DocumentedApi(
        title="Task management backend",
        description="Tasks, the audit log of their changes, and the counts of a weekly dashboard.",
        version="1.0.0",
        lifespan=lifespan,
        # A redirect would be built from the Host header, and lose the envelope.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(RequestLog),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.frontend_url,
                allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Content-Type"],
                allow_credentials=True,
                expose_headers=["Retry-After"],
            ),
            Middleware(UnexpectedErrors),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
            Middleware(HeadAsGet),
        ],
    )
    app.state.database = database
    register_handlers(app)
    app.include_router(v1.router)
    app.include_router(v1.router, prefix="/api/v1", include_in_schema=False)

    @app.get("/", include_in_schema=False)
    async def redirect_to_docs() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app


def __getattr__(name: str) -> FastAPI:
    """Make `app` for `uvicorn main:app` when it is asked for, and not whenever this is imported."""
    if name != "app":
        raise AttributeError(name)
    if multiprocessing.parent_process() is not None:
        # One of uvicorn's workers, which would otherwise keep the port when their parent is killed.
        end_with_parent(signal.SIGTERM)
    with _failures_in_one_sentence():
        settings = load_settings()
        _configure_logging(settings)
        prepare_schema(settings)
        return create_app(settings)


def main() -> None:
    """Serve the API until SIGTERM or Ctrl-C, with the embedded PostgreSQL where no DATABASE_URL is set."""
    # So that the blocks below are left, and the embedded PostgreSQL stopped, in order.
    signal.signal(signal.SIGTERM, _exit)
    with _failures_in_one_sentence():
        settings = load_settings()
        _configure_logging(settings)
        if settings.database_url is not None:
            _serve(settings, data=settings.database_url.render_as_string(hide_password=True))
            return
        with EmbeddedPostgres(settings.data_dir or default_data_dir(BACKEND.parent)) as postgres:
            settings = settings.model_copy(update={"database_url": postgres.url})
            # For the workers, which read their settings anew.
            os.environ["DATABASE_URL"] = postgres.url.render_as_string(hide_password=False)
            _serve(settings, data=f"{postgres.data_dir} (look inside: {postgres.psql_command})")


def _serve(settings: Settings, data: str) -> None:
    prepare_schema(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    print(f"API:   {address}\nDocs:  {address}/docs\nData:  {data}", flush=True)  # noqa: T201  # It is the output.
    uvicorn.run(
        create_app(settings) if settings.workers == 1 else "main:app",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        app_dir=str(BACKEND),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
    )


def _configure_logging(settings: Settings) -> None:
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _exit(signal_number: int, frame: FrameType | None) -> None:
    sys.exit()


@contextmanager
def _failures_in_one_sentence() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, EmbeddedPostgresError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
