"""What Prometheus reads. The names are those of OpenTelemetry's semantic conventions, where they have one.

https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ and
https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
"""

import os
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# With several workers each writes to files in this directory, and any of them reads them all. It is
# prometheus-client that looks at the variable, when it is imported.
DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

disable_created_metrics()  # type: ignore[no-untyped-call]

requests = Histogram(
    "http_server_request_duration_seconds",
    "How long requests took, from their head to the end of their answer.",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
connections_in_use = Gauge(
    "db_client_connection_used",
    "Connections to the database that are in use.",
    multiprocess_mode="livesum",
)
connections_wanted = Gauge(
    "db_client_connection_pending_requests",
    "Requests that wait for a connection to the database.",
    multiprocess_mode="livesum",
)
repeated_statements = Counter(
    "task_backend_repeated_statements",
    "Statements that were repeated because the database failed them.",
)


def registry() -> CollectorRegistry:
    """Return what holds the metrics of every worker."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory is None:
        return REGISTRY
    # A worker that was killed uses no connection any more.
    for file in Path(directory).glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, directory)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return registry
