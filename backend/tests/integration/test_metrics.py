"""/metrics: requests by route, the connection pool and retries, over all workers."""

import fcntl
import shutil
import signal
import threading
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL

from tests.support.client import Api
from tests.support.databases import WAITING_FOR_A_LOCK, Sql, environment_of, transaction
from tests.support.service import MAIN, running
from tests.support.waiting import wait_until

REQUESTS = "http_server_request_duration_seconds_count"
USED, WAITING = "db_client_connection_count", "db_client_connection_pending_requests"
REPEATED = "task_backend_repeated_statements_total"


def scrape(api: Api) -> dict[str, dict[tuple[str, str, str], float]]:
    """Return the values of each metric by method, route and status."""
    values: dict[str, dict[tuple[str, str, str], float]] = {}
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for name, labels, value, *_ in family.samples:
            method, route = labels.get("http_request_method", ""), labels.get("http_route", "")
            values.setdefault(name, {})[method, route, labels.get("http_response_status_code", "")] = value
    return values


def wait_for_metric(api: Api, name: str, value: float) -> None:
    wait_until(lambda: scrape(api)[name]["", "", ""] == value, lambda: scrape(api)[name])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_requests_are_counted_by_route_across_workers(database_url: URL, workers: str) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url), WORKERS=workers) as (service, api):
        service.wait_for("Application startup complete", times=int(workers))
        task = api.create_task()
        for number in range(20):
            # A connection for each, so that every worker gets some.
            with httpx.Client(base_url=api.base_url) as client:
                client.get(f"/tasks/{task['id']}")
                client.get(f"/nowhere/{number}")
        # A worker counts a request after its answer, and another one may answer this.
        wait_until(lambda: scrape(api)[REQUESTS].get(("GET", "", "404")) == 20)
        counted = scrape(api)
    assert counted[REQUESTS]["POST", "/tasks", "201"] == 1
    assert counted[REQUESTS]["GET", "/tasks/{task_id}", "200"] == 20
    assert counted[REQUESTS]["GET", "", "404"] == 20
    assert not any(task["id"] in route or "nowhere" in route for _, route, _ in counted[REQUESTS])
    assert counted["http_server_request_duration_seconds_sum"]["GET", "/tasks/{task_id}", "200"] > 0


def test_the_document_and_the_assets_of_its_pages_have_a_route(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        for path in ("/openapi.json", "/docs", "/docs/assets/swagger-ui.css", "/docs/assets/nowhere", "/redoc"):
            api.get(path)
        api.post("/openapi.json")
        api.head("/openapi.json")
        # A file is closed on a thread, after its last byte was sent and before it is counted.
        wait_until(lambda: ("GET", "/docs/assets", "200") in scrape(api)[REQUESTS])
        counted = scrape(api)[REQUESTS]
        service.stop()
    assert counted["GET", "/openapi.json", "200"] == counted["HEAD", "/openapi.json", "200"] == 1
    assert counted["POST", "/openapi.json", "405"] == 1
    assert counted["GET", "/docs", "200"] == counted["GET", "/redoc", "200"] == 1
    assert counted["GET", "/docs/assets", "200"] == counted["GET", "/docs/assets", "404"] == 1
    assert not any(route == "" for _, route, _ in counted)
    assert " GET /docs/assets 200 " in service.output


def test_the_metrics_of_workers_that_were_killed_are_removed(database_url: URL, tmp_path: Path) -> None:
    killed, running_service, foreign = (tmp_path / f"task-backend-metrics-{name}" for name in ("1", "2", "else"))
    for directory in (killed, running_service, foreign):
        directory.mkdir()
        (directory / "counter_1.db").touch()
    (killed / "lock").touch()
    with (running_service / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with running(MAIN, DATABASE_URL=environment_of(database_url), WORKERS="2", TMPDIR=str(tmp_path)) as (
            service,
            _,
        ):
            service.wait_for("Application startup complete", times=2)
            assert len({*tmp_path.iterdir()} - {running_service, foreign}) == 1
            assert not killed.exists()
    assert {*tmp_path.iterdir()} == {running_service, foreign}


def test_metrics_outlive_their_directory(database_url: URL, tmp_path: Path) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url), WORKERS="2", TMPDIR=str(tmp_path)) as (service, api):
        # A worker that is still starting makes its files.
        service.wait_for("Application startup complete", times=2)
        [directory] = tmp_path.iterdir()
        # As cleaners of temporary files do.
        shutil.rmtree(directory)
        api.create_task()
        # On the same connection, so the same worker answers.
        assert scrape(api)[REQUESTS]["POST", "/tasks", "201"] == 1
        service.wait_for(f"/metrics shows only one worker: its directory {directory} is gone")


def test_the_pool_and_the_retries_are_measured(database_url: URL, sql: Sql) -> None:
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
            wait_until(lambda: sql(f"SELECT pg_terminate_backend(pid) FROM ({WAITING_FOR_A_LOCK}) AS waiting"))
            wait_for_metric(api, REPEATED, 1)
        for thread in threads:
            thread.join()
        wait_for_metric(api, USED, 0)
        wait_for_metric(api, WAITING, 0)


def test_a_killed_worker_counts_no_connection_in_use(database_url: URL) -> None:
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
