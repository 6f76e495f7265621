"""The log: one line an event, each with the id of the request that it belongs to."""

import logging
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


def configure_log(level: str) -> None:
    """Write log lines of at least `level` to standard error."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s [%(request_id)s] %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_add_request_id)
    # No line shows these, and to find them out for each takes a third of its time
    # (https://docs.python.org/3/howto/logging.html#optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # As documented there.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
