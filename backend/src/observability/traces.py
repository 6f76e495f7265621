"""Traces of OpenTelemetry: of requests, by FastAPI, and of their statements. Off unless configured.

FastAPI sends them where the variable OTEL_EXPORTER_OTLP_ENDPOINT says.
"""

import os
from contextlib import AbstractContextManager, nullcontext

from opentelemetry import trace
from opentelemetry.trace import SpanKind

_tracer = trace.get_tracer(__name__)


def configure_traces() -> None:
    """Say what OpenTelemetry's variables leave open: whose traces they are, and how long a stop waits to send them."""
    os.environ.setdefault("OTEL_SERVICE_NAME", "task-management-backend")
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")


def statement_span(sql: str) -> AbstractContextManager[object]:
    """Return the span of a statement, nothing where its request has none.

    After https://opentelemetry.io/docs/specs/semconv/database/postgresql/.
    """
    if not trace.get_current_span().is_recording():
        return nullcontext()
    attributes = {"db.system.name": "postgresql", "db.query.text": sql}
    return _tracer.start_as_current_span("postgresql", kind=SpanKind.CLIENT, attributes=attributes)
