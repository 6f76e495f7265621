"""The metrics, for Prometheus. Their names follow OpenTelemetry's semantic conventions if those have one.

https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ and
https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

log = logging.getLogger(__name__)

# Each of several workers writes to files in this directory, and any of them reads them all. prometheus-client
# reads the variable when it makes the metrics below.
DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_DIRECTORY_PREFIX, _LOCK = "task-backend-metrics-", "lock"

if DIRECTORY_VARIABLE in os.environ:
    Path(os.environ[DIRECTORY_VARIABLE]).mkdir(parents=True, exist_ok=True)
disable_created_metrics()  # type: ignore[no-untyped-call]

_requests = Histogram(
    "http_server_request_duration_seconds",
    "How long requests took. Without a status: the caller left, or the service stopped, before an answer began.",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
# By method, route and status. Cached: looking a metric up takes longer than writing it.
requests = cache(_requests.labels)
# prometheus-client opens a file for all histograms together when the first one has labels. This process opens it
# now, because a cleaner of temporary files may remove the directory before the first request.
requests("GET", "/health", "200")
connections = Gauge(
    "db_client_connection_count",
    "Connections to the database that are in use.",
    ["db_client_connection_pool_name", "db_client_connection_state"],
    multiprocess_mode="livesum",
)
connections_wanted = Gauge(
    "db_client_connection_pending_requests",
    "Requests that wait for a connection to the database.",
    ["db_client_connection_pool_name"],
    multiprocess_mode="livesum",
)
repeated_statements = Counter(
    "task_backend_repeated_statements",
    "Repeated attempts at a statement, after the database failed it or could not be reached.",
)
listeners = Gauge("task_backend_listeners", "Callers that listen to /events.", multiprocess_mode="livesum")
refused_connections = Counter(
    "task_backend_refused_connections", "Connections of callers that the service ended.", ["reason"]
)


@contextmanager
def shared_by_workers() -> Iterator[None]:
    """Let the workers that this process starts share their metrics, until the block is left."""
    _remove_leftovers()
    with TemporaryDirectory(prefix=_DIRECTORY_PREFIX) as directory, Path(directory, _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[DIRECTORY_VARIABLE] = directory
        yield


def _remove_leftovers() -> None:
    """Remove the directories of processes that were killed: their locks are free."""
    for path in Path(gettempdir()).glob(f"{_DIRECTORY_PREFIX}*/{_LOCK}"):
        # A running service holds the lock, another account may own it, another start may be faster.
        with suppress(OSError), path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent, ignore_errors=True)


def registry() -> CollectorRegistry:
    """Return the metrics of every worker."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory is None:
        return REGISTRY
    if not Path(directory).is_dir():
        # A cleaner of temporary files may have removed it. Each worker still knows its own metrics.
        log.warning("/metrics shows only one worker: its directory %s is gone", directory)
        return REGISTRY
    # A worker that was killed uses no connection any more. Another worker may be faster to note it.
    for file in Path(directory).glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            with suppress(FileNotFoundError):
                mark_process_dead(pid, directory)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return registry
