"""The log: one line per event, each with the id of its request."""

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_PACE_S = 1.0
# How many warnings to remember. Some name files, so their number has no limit.
_REMEMBERED_WARNINGS = 100


class ServiceLog(logging.StreamHandler[TextIO]):
    """Writes to standard error."""


class TextFormatter(logging.Formatter):
    """Writes a line for people. It formats each second once: a busy service logs thousands of lines in one."""

    _second = 0
    _text = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # Its name there.
        """Return the local time of `record`, to the millisecond."""
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._text},{int(record.msecs):03d}"


class PacedWarnings:
    """Logs each warning at most once a second: a fault that fails one request may fail thousands.

    The next line of a warning says how many were left out. `clock` counts seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        # By warning: the time of its last line, and how many were left out since. The newest comes last.
        self._logged: dict[str, tuple[float, int]] = {}

    def warn(self, warning: str) -> None:
        """Log `warning`, a sentence, unless it was logged less than a second ago."""
        now = self._clock()
        logged_at, left_out = self._logged.pop(warning, (now - _PACE_S, 0))
        if now - logged_at < _PACE_S:
            self._logged[warning] = logged_at, left_out + 1
            return
        self._logged[warning] = now, 0
        if len(self._logged) > _REMEMBERED_WARNINGS:
            del self._logged[next(iter(self._logged))]
        more = f" ({left_out} more since the last such line)" if left_out else ""
        self._logger.warning("%s%s", warning, more)


def configure_log(level: str, *, as_json: bool = False) -> None:
    """Write log lines of at least `level` to standard error, for people or as JSON objects.

    A process with a log of its own, pytest for example, keeps it.
    """
    if not all(isinstance(handler, ServiceLog) for handler in logging.getLogger().handlers):
        return
    handler = ServiceLog()
    handler.addFilter(_add_request_id)
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{request_id}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            # uvicorn adds the same message in colours.
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],
            timestamp=True,
        )
        if as_json
        else TextFormatter("%(asctime)s %(levelname)s [%(request_id)s] %(message)s")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # No line shows these, and finding them out takes a third of the time of each line
    # (https://docs.python.org/3/howto/logging.html#optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # As documented there.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Under `uvicorn main:app`, uvicorn has handlers of its own and logs a line of its own for each request.
    for name in ("uvicorn", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name == "uvicorn"


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
