"""Traces, sent to a collector of OpenTelemetry."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from sqlalchemy import URL

from config import BACKEND
from tests.support.databases import environment_of
from tests.support.service import MAIN, running
from tests.support.waiting import PATIENCE_S


@contextmanager
def collector() -> Iterator[tuple[str, list[ResourceSpans]]]:
    """Run a collector (OTLP over HTTP), and yield its address and the spans that it receives."""
    received: list[ResourceSpans] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_and_its_statement_are_traced_if_a_collector_is_set(database_url: URL, workers: str) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with collector() as (endpoint, received):
        url = environment_of(database_url)
        collected = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": str(PATIENCE_S)}
        with running(MAIN, BACKEND, DATABASE_URL=url, WORKERS=workers, **collected) as (service, api):
            service.wait_for("Application startup complete", times=int(workers))
            task = api.create_task()
            parent = f"00-{trace_id}-b7ad6b7169203331-01"
            api.get(f"/tasks/{task['id']}", headers={"traceparent": parent})
        # The service sends the last spans when it stops.
    spans = [span for each in received for scope in each.scope_spans for span in scope.spans]
    traced = {span.name: span for span in spans if span.trace_id.hex() == trace_id}
    request, statement = traced.pop("GET /tasks/{task_id}"), traced.pop("postgresql")
    assert traced == {}
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert statement.parent_span_id == request.span_id
    texts = {each.key: each.value.string_value for each in [*statement.attributes, *received[0].resource.attributes]}
    assert texts["service.name"] == "task-management-backend"
    assert texts["db.system.name"] == "postgresql"
    assert "FROM tasks" in texts["db.query.text"]
    assert task["id"] not in texts["db.query.text"]
