"""What operators watch: log lines, metrics and traces."""

import json
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL

from config import BACKEND
from tests.support.client import Api, Json
from tests.support.databases import Sql, environment_of, transaction
from tests.support.service import MAIN, running
from tests.support.waiting import PATIENCE_S, wait_until

UVICORN = [sys.executable, "-m", "uvicorn", "main:app"]
REQUESTS = "http_server_request_duration_seconds_count"
USED, WAITING = "db_client_connection_count", "db_client_connection_pending_requests"
REPEATED = "task_backend_repeated_statements_total"


@pytest.mark.parametrize("command", [MAIN, UVICORN], ids=["main.py", "uvicorn"])
def test_every_line_is_json_where_that_is_asked_for(database_url: URL, command: list[str]) -> None:
    with running(command, DATABASE_URL=environment_of(database_url), LOG_FORMAT="json") as (service, api):
        task = api.create_task()
        api.get(f"/tasks/{task['id']}", headers={"X-Request-ID": "one-of-mine"})
        api.head("/api/v1/tasks")
        api.get("/nowhere%0A")
        service.stop()
    said = service.output.splitlines()
    if command is UVICORN:
        # What uvicorn says before the application starts.
        assert [line.split()[0] for line in said[:2]] == ["INFO:", "INFO:"]
        said = said[2:]
    lines: list[Json] = [json.loads(line) for line in said]
    answered = [[line[key] for key in ("method", "route", "status")] for line in lines if "route" in line]
    [mine] = [line for line in lines if line["request_id"] == "one-of-mine"]
    assert answered[-4:] == [
        ["POST", "/tasks", 201],
        ["GET", "/tasks/{task_id}", 200],
        ["HEAD", "/tasks", 200],
        ["GET", None, 404],
    ]
    assert mine["milliseconds"] >= 0
    assert (mine["level"], mine["message"][:25]) == ("INFO", "GET /tasks/{task_id} 200 ")
    assert mine["timestamp"].startswith("20")
    assert any(line["logger"] == "uvicorn.error" for line in lines)
    assert not any("color_message" in line for line in lines)


@pytest.mark.parametrize("command", [MAIN, UVICORN], ids=["main.py", "uvicorn"])
def test_a_person_reads_a_line_for_each_request(database_url: URL, command: list[str]) -> None:
    with running(command, DATABASE_URL=environment_of(database_url)) as (service, api):
        api.get("/nowhere%0A", headers={"X-Request-ID": "one-of-mine"})
        service.stop()
    time_and_level = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO"
    line = rf"^{time_and_level} \[one-of-mine\] GET /nowhere%0A 404 \d+\.\d ms$"
    assert re.search(line, service.output, re.MULTILINE)
    assert service.output.count("/nowhere") == 1
    assert re.search(rf"^{time_and_level} \[-\] Application startup complete", service.output, re.MULTILINE)


def scrape(api: Api) -> dict[str, dict[tuple[str, str, str], float]]:
    """The value of each metric by method, route and status."""
    values: dict[str, dict[tuple[str, str, str], float]] = {}
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for name, labels, value, *_ in family.samples:
            method, route = labels.get("http_request_method", ""), labels.get("http_route", "")
            values.setdefault(name, {})[method, route, labels.get("http_response_status_code", "")] = value
    return values


def wait_for_metric(api: Api, name: str, value: float) -> None:
    wait_until(lambda: scrape(api)[name]["", "", ""] == value, lambda: scrape(api)[name])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_are_counted_by_route_whoever_served_them(database_url: URL, workers: str) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url), WORKERS=workers) as (service, api):
        service.wait_for("Application startup complete", times=int(workers))
        task = api.create_task()
        for number in range(20):
            # A connection for each, so that every worker gets some.
            with httpx.Client(base_url=api.base_url) as client:
                client.get(f"/tasks/{task['id']}")
                client.get(f"/nowhere/{number}")
        counted = scrape(api)
    assert counted[REQUESTS]["POST", "/tasks", "201"] == 1
    assert counted[REQUESTS]["GET", "/tasks/{task_id}", "200"] == 20
    assert counted[REQUESTS]["GET", "", "404"] == 20
    assert not any(task["id"] in route or "nowhere" in route for _, route, _ in counted[REQUESTS])
    assert counted["http_server_request_duration_seconds_sum"]["GET", "/tasks/{task_id}", "200"] > 0


def test_the_pool_and_the_repeats_are_measured(database_url: URL, sql: Sql) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url), DATABASE_POOL_SIZE="1", QUEUE_TIMEOUT_S="30") as (
        _,
        api,
    ):
        tasks = [api.create_task() for _ in range(3)]
        threads = [threading.Thread(target=api.complete_task, args=[task["id"]]) for task in tasks]
        with transaction(database_url, "LOCK TABLE tasks"):
            for thread in threads:
                thread.start()
            wait_for_metric(api, USED, 1)
            wait_for_metric(api, WAITING, 2)
            assert scrape(api)[REPEATED]["", "", ""] == 0
            wait_until(
                lambda: sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
                )
            )
            wait_for_metric(api, REPEATED, 1)
        for thread in threads:
            thread.join()
        wait_for_metric(api, USED, 0)
        wait_for_metric(api, WAITING, 0)


def test_a_worker_that_was_killed_uses_no_connection(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url), WORKERS="2") as (service, api):
        service.wait_for("Application startup complete", times=2)
        task = api.create_task()
        before = scrape(api)[REQUESTS]["POST", "/tasks", "201"]

        def complete() -> None:
            with pytest.raises(httpx.TransportError):
                api.complete_task(task["id"])

        waiting = threading.Thread(target=complete)
        with transaction(database_url, "LOCK TABLE tasks"):
            waiting.start()
            with Api(str(api.base_url)) as another:
                wait_for_metric(another, USED, 1)
            for worker in service.family():
                if any(connection.status == psutil.CONN_ESTABLISHED for connection in worker.net_connections()):
                    worker.send_signal(signal.SIGKILL)
            waiting.join()
        service.wait_for("Application startup complete", times=3)
        with Api(str(api.base_url)) as another:
            wait_for_metric(another, USED, 0)
            assert scrape(another)[REQUESTS]["POST", "/tasks", "201"] == before


@contextmanager
def collector() -> Iterator[tuple[str, list[ResourceSpans]]]:
    """A collector of OpenTelemetry's (OTLP over HTTP): its address, and what it has been sent."""
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
def test_a_request_and_its_statement_are_traced_where_a_collector_is_named(database_url: URL, workers: str) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with collector() as (endpoint, received):
        url = environment_of(database_url)
        collected = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": str(PATIENCE_S)}
        with running(MAIN, BACKEND, DATABASE_URL=url, WORKERS=workers, **collected) as (_, api):
            task = api.create_task()
            parent = f"00-{trace_id}-b7ad6b7169203331-01"
            api.get(f"/tasks/{task['id']}", headers={"traceparent": parent})
        # They are sent at the latest when the service stops.
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
