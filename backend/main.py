"""The application, and `python main.py`, which serves it."""

import gc
import ipaddress
import json
import logging
import multiprocessing
import os
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from sqlalchemy import URL
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Router

from config import BACKEND, ConfigurationError, LogFormat, Settings, describe_settings, load_settings
from src.api import metrics, v1
from src.api.middleware import BodyLimit, HeadAsGet, Observed, UnexpectedErrors
from src.api.openapi import complete_document
from src.api.security import ApiKeys, SecurityHeaders, TrustedHosts
from src.api.server import KEEP_ALIVE_S, PatientProtocol, PatientServer
from src.database.database import Database
from src.database.embedded import EmbeddedPostgres, default_data_dir
from src.database.embedded_programs import EmbeddedPostgresError
from src.database.migrate import check_replica, prepare_schema
from src.exceptions.handlers import register_handlers
from src.utils.log import configure_log
from src.utils.metrics import DIRECTORY_VARIABLE
from src.utils.processes import end_with_parent
from src.utils.traces import configure_traces

log = logging.getLogger(__name__)

# How much longer than a statement a request may take to finish when the service stops.
_SHUTDOWN_MARGIN_S = 5


def create_app(settings: Settings) -> FastAPI:
    """Return the application, which expects its database to be ready (`prepare_schema`)."""
    database = Database(settings)
    replica = None
    if settings.database_read_url is not None:
        replica = Database(settings.model_copy(update={"database_url": settings.database_read_url}), "replica")
    api_keys = [key.get_secret_value() for key in settings.api_key]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for each in (database, replica):
            if each is not None:
                each.close()

    # FastAPI's pages of documentation, with their scripts served from here and not from a CDN.
    app = FastAPIOffline(
        static_url="/docs/assets",
        title="Task management backend",
        description="Tasks, the audit log of their changes, and the counts of a weekly dashboard.",
        version="1.0.0",
        lifespan=lifespan,
        # A redirect would be built from the Host header, and lose the envelope.
        redirect_slashes=False,
        # Traces only: src/utils/traces.py. Metrics and logs go their own ways.
        telemetry={"auto_configure": True, "metrics": False, "logs": False, "operation_spans": False},
        middleware=[
            Middleware(Observed),
            Middleware(SecurityHeaders),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.frontend_url,
                allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
                allow_credentials=True,
                expose_headers=["Link", "Retry-After", "X-Request-ID"],
            ),
            Middleware(UnexpectedErrors),
            *([Middleware(TrustedHosts, hosts=settings.trusted_hosts)] if settings.trusted_hosts else []),
            *([Middleware(ApiKeys, keys=api_keys)] if api_keys else []),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
            Middleware(HeadAsGet),
        ],
    )
    app.state.database = database
    app.state.replica = replica
    register_handlers(app)
    complete_document(app, requires_key=bool(api_keys))
    # The same routes for clients that pin a version; the document lists the others.
    versioned = Mount("/api/v1", Router(v1.routes, redirect_slashes=False))
    # In front of the documentation's: every route before the right one costs a request time.
    app.router.routes[:0] = [*v1.routes, versioned, *metrics.router.routes]

    @app.get("/", include_in_schema=False)
    async def redirect_to_docs() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app


def __getattr__(name: str) -> FastAPI:
    """Make `app` for `uvicorn main:app` when it is asked for, and not whenever this is imported."""
    if name != "app":
        raise AttributeError(name)
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        # One of uvicorn's workers, which would otherwise keep the port when their parent is killed.
        end_with_parent(signal.SIGTERM)
        if not supervisor.is_alive():
            sys.exit("The process that started this worker is gone.")
    try:
        with _failures_in_one_sentence():
            settings = _configured()
            prepare_schema(settings)
            check_replica(settings)
            if supervisor is not None and DIRECTORY_VARIABLE not in os.environ:
                log.warning("/metrics tells of one worker; set %s to an empty directory", DIRECTORY_VARIABLE)
            return _settled(create_app(settings))
    except SystemExit:
        if supervisor is not None and supervisor.pid is not None:
            # It would start this worker again and again.
            os.kill(supervisor.pid, signal.SIGTERM)
        raise


def main() -> None:
    """Serve the API until SIGTERM or Ctrl-C, with the embedded PostgreSQL where no DATABASE_URL is set."""
    parser = ArgumentParser(
        prog="python main.py",
        description=main.__doc__,
        epilog=f"environment variables, with their defaults (backend/.env sets them too):\n\n{describe_settings()}\n\n"
        "Traces go where OpenTelemetry's own variable OTEL_EXPORTER_OTLP_ENDPOINT says (not in backend/.env).",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--openapi", action="store_true", help="print the OpenAPI document, and serve nothing")
    if parser.parse_args().openapi:
        print(openapi_document())  # noqa: T201  # It is the output.
        return
    # So that the blocks below are left, and the embedded PostgreSQL stopped, in order.
    signal.signal(signal.SIGTERM, _exit)
    with _failures_in_one_sentence():
        settings = _configured()
        if settings.database_url is not None:
            _serve(settings, data=settings.database_url.render_as_string(hide_password=True))
            return
        if settings.database_read_url is not None:
            raise ConfigurationError("DATABASE_READ_URL is set, and DATABASE_URL, whose replica it should be, is not.")
        with EmbeddedPostgres(settings.data_dir or default_data_dir(BACKEND.parent)) as postgres:
            settings = settings.model_copy(update={"database_url": postgres.url})
            # For the workers, which read their settings anew.
            os.environ["DATABASE_URL"] = postgres.url.render_as_string(hide_password=False)
            _serve(settings, data=f"{postgres.data_dir} (look inside: {postgres.psql_command})")


def openapi_document() -> str:
    """Return the OpenAPI document of a service with the default settings, as backend/openapi.json has it."""
    app = create_app(Settings.model_construct(database_url=URL.create("postgresql+psycopg2")))
    return json.dumps(app.openapi(), indent=2)


def _configured() -> Settings:
    """Return the settings, once the log and the traces are as they say."""
    settings = load_settings()
    configure_log(settings.log_level, as_json=settings.log_format is LogFormat.JSON)
    configure_traces()
    return settings


def _serve(settings: Settings, data: str) -> None:
    prepare_schema(settings)
    if settings.workers == 1:
        check_replica(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    if not settings.api_key and not _is_loopback(settings.host):
        log.warning("%s is reachable from other machines, and no API_KEY is set: anyone may call", address)
    if settings.log_format is LogFormat.JSON:
        log.info("Serving on %s", address, extra={"data": data})
    else:
        print(f"API:   {address}\nDocs:  {address}/docs\nData:  {data}", flush=True)  # noqa: T201  # It is the output.
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": PatientProtocol,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        # Nothing here asks for the caller's address.
        "proxy_headers": False,
        "timeout_graceful_shutdown": round(settings.statement_timeout_s) + _SHUTDOWN_MARGIN_S,
    }
    if settings.workers > 1:
        with TemporaryDirectory(prefix=f"task-backend-metrics-{os.getpid()}-") as directory:
            os.environ[DIRECTORY_VARIABLE] = directory
            uvicorn.run("main:app", workers=settings.workers, app_dir=str(BACKEND), **options)
    else:
        PatientServer(uvicorn.Config(_settled(create_app(settings)), **options)).run()


def _settled(app: FastAPI) -> FastAPI:
    """Return `app`, once the garbage collector knows that what is there now is there to stay.

    Otherwise it would walk through all of it again and again, for a fifth of the time of a request.
    """
    gc.collect()
    gc.freeze()
    return app


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
