"""The application, and `python main.py`, which serves it."""

import signal

if __name__ in ("__main__", "__mp_main__"):
    # A Ctrl-C during the imports below, here or in a worker, ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.routing import Mount, Router

from config import ENV_FILE_VARIABLE, LogFormat, Settings, describe_settings, load_settings
from src.api import metrics, v1, web
from src.api.openapi import complete_document
from src.api.startup import START_FAILURES, BeforeStart, started
from src.exceptions.handlers import register_handlers
from src.observability.log import configure_log
from src.serving.process import unwind_on_signals
from src.serving.run import serve


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application. It opens nothing until it starts, and then prepares its database.

    Without `settings`, it reads them from the environment at each start. It may start again after it has
    ended, as it does from test to test.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with started(app, settings or _configured()):
            yield

    # FastAPI's documentation pages, with their scripts served from here instead of a CDN.
    app = FastAPIOffline(
        static_url="/docs/assets",
        title="Task management backend",
        description="Tasks, the audit log of their changes, and the counts of a weekly dashboard.",
        version="1.0.0",
        lifespan=lifespan,
        # FastAPI would build a redirect from the Host header, and without the envelope.
        redirect_slashes=False,
        # Traces only (src/observability/traces.py): metrics and logs do not go through OpenTelemetry.
        telemetry={"auto_configure": True, "metrics": False, "logs": False, "operation_spans": False},
        # A placeholder: at the start, `_middleware` of src/api/startup.py replaces it.
        middleware=[Middleware(BeforeStart)],
    )
    app.state.requires_key = False
    register_handlers(app)
    complete_document(app)
    # The same routes for clients that pin a version. The document lists only those without a version.
    versioned = Mount("/api/v1", Router(v1.routes, redirect_slashes=False))
    # In front of the documentation's routes: a request tries every route before its own.
    app.router.routes[:0] = [*v1.routes, versioned, *metrics.router.routes, *web.router.routes]
    return app


# For `uvicorn main:app`, `fastapi dev`, `TestClient(app)` and their like.
app = create_app()


def main() -> None:
    """Serve the API until SIGTERM or Ctrl-C, with the embedded PostgreSQL if no DATABASE_URL is set."""
    parser = ArgumentParser(
        prog="python main.py",
        description=main.__doc__,
        epilog=f"environment variables, with their defaults (backend/.env sets them too):\n\n{describe_settings()}\n\n"
        f"{ENV_FILE_VARIABLE} names another file than backend/.env. Traces go where OpenTelemetry's own variable"
        " OTEL_EXPORTER_OTLP_ENDPOINT says (not in a file).",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--openapi", action="store_true", help="print the OpenAPI document, and serve nothing")
    if parser.parse_args().openapi:
        print(openapi_document())  # noqa: T201  # It is the output.
        return
    unwind_on_signals()
    try:
        serve(_configured(), create_app)
    except START_FAILURES as error:
        sys.exit(str(error))


def openapi_document() -> str:
    """Return the OpenAPI document of a service with the default settings: the text of backend/openapi.json."""
    return json.dumps(create_app().openapi(), indent=2)


def _configured() -> Settings:
    """Return the settings, after setting up the log that they describe."""
    settings = load_settings()
    configure_log(settings.log_level, as_json=settings.log_format is LogFormat.JSON)
    return settings


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
