"""OpenTelemetry traces: FastAPI traces the requests, this module their statements. Off unless configured.

FastAPI sends them to the address in the variable OTEL_EXPORTER_OTLP_ENDPOINT.
"""

import os
from contextlib import AbstractContextManager, nullcontext

from opentelemetry import trace
from opentelemetry.trace import SpanKind

_tracer = trace.get_tracer(__name__)


def configure_traces() -> None:
    """Set defaults for OpenTelemetry's variables: the service's name, and 2 s for a stop to send its last traces."""
    os.environ.setdefault("OTEL_SERVICE_NAME", "task-management-backend")
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")


def statement_span(sql: str) -> AbstractContextManager[object]:
    """Return the span of a statement; an empty context if its request is not traced.

    After https://opentelemetry.io/docs/specs/semconv/database/postgresql/.
    """
    if not trace.get_current_span().is_recording():
        return nullcontext()
    attributes = {"db.system.name": "postgresql", "db.query.text": sql}
    return _tracer.start_as_current_span("postgresql", kind=SpanKind.CLIENT, attributes=attributes)
