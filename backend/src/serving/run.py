"""What `python main.py` does: take the port, prepare the database, serve."""

import logging
from collections.abc import Callable

from starlette.types import ASGIApp

from config import LogFormat, Settings
from src.database.migrate import prepare_schema
from src.embedded_postgres.provision import provided_database
from src.serving.server import PatientServer, ServerConfig
from src.serving.sockets import bound_sockets, is_loopback, listen
from src.serving.workers import run_workers

log = logging.getLogger(__name__)


def serve(settings: Settings, create_app: Callable[[Settings], ASGIApp]) -> None:
    """Serve the application until a signal ends the process, with the embedded PostgreSQL if DATABASE_URL is unset.

    `create_app` is for a single worker: each of several imports `main:app`. Raises `ConfigurationError` and
    `EmbeddedPostgresError`.
    """
    address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    # Take the port first: a start that cannot listen does nothing else.
    with bound_sockets(settings.host, settings.port) as sockets, provided_database(settings) as (ready, data):
        # The application does this again when it starts, as it must under `uvicorn main:app`. Here it comes
        # first, so a start that cannot migrate says only that, and never prints an address.
        prepare_schema(ready)
        if not settings.api_key and settings.host != "localhost" and not is_loopback(settings.host):
            log.warning("%s is reachable from other machines, and no API_KEY is set: anyone may call", address)
        listen(sockets, settings.host, settings.port)
        if settings.log_format is LogFormat.JSON:
            log.info("Serving on %s", address, extra={"data": data})
        else:
            lines = f"Page:  {address}/\nAPI:   {address}\nDocs:  {address}/docs\nData:  {data}"
            print(lines, flush=True)  # noqa: T201  # It is the output.
        if settings.workers > 1:
            run_workers(ready, sockets)
        else:
            PatientServer(ServerConfig(create_app(ready), ready)).run(sockets)
