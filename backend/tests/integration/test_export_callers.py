"""Callers of exports: too many, those who do not read, leave or lack a key, and the ways to the database."""

import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from main import create_app
from src.database.database import Database
from tests.support.client import Api, data_of, error_of
from tests.support.databases import Sql, environment_of, settings_for
from tests.support.export_readers import CURL, needs_curl
from tests.support.exports import IN_TRANSACTION, export, fill, items_of_ndjson, rows_for, rows_of_csv
from tests.support.live_server import close_database, serve
from tests.support.proxy import Proxy
from tests.support.raw_http import Caller
from tests.support.service import MAIN, running
from tests.support.waiting import PATIENCE_S, wait_until

PATHS = ["/tasks", "/history"]
FORMATS = ["csv", "ndjson"]


def ask_and_read_nothing(address: str, target: str) -> Caller:
    stuck = Caller(address)
    stuck.send(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target.encode())
    stuck.socket.recv(1)
    return stuck


def test_an_export_too_many_is_refused_until_another_ends(database_url: URL, sql: Sql) -> None:
    """Exports may hold a quarter of the connections, so pages and changes always have some."""
    fill(sql)
    app = create_app(settings_for(database_url, database_pool_size=8))
    with serve(app, write_timeout_s=3600) as (_, address), Api(address) as api:
        with ask_and_read_nothing(address, "/history?format=csv").socket:
            with ask_and_read_nothing(address, "/tasks?format=ndjson").socket:
                for path in PATHS:
                    refused = api.get(path, params={"format": "csv"}, headers={"Origin": "http://localhost:3000"})
                    assert error_of(refused, 503).startswith("Too many exports are being read")
                    assert int(refused.headers["Retry-After"]) > 0
                    assert "Content-Disposition" not in refused.headers
                    assert refused.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
                    data_of(api.get(path, params={"limit": 1}))
                api.create_task()
            wait_until(lambda: api.get("/tasks?format=csv").is_success)
        wait_until(lambda: not sql(IN_TRANSACTION))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_head_does_not_read_the_rest_of_an_export(
    live_app: tuple[FastAPI, str], api: Api, database_url: URL, sql: Sql, path: str, file_format: str
) -> None:
    fill(sql)
    proxy = Proxy(database_url)
    with proxy.running() as url:
        database = live_app[0].state.database = Database(settings_for(url, database_pool_size=1))
        head = api.head(path, params={"format": file_format})
        assert head.headers["Content-Disposition"].startswith("attachment")
        # There is one connection, so this waits for the end of the export.
        data_of(api.get("/tasks?limit=1"))
        assert proxy.messages.count("Q") <= 3
        close_database(database, live_app[0])


@pytest.mark.parametrize("path", PATHS)
def test_a_caller_who_stops_reading_loses_the_export_and_returns_its_connection(
    database_url: URL, sql: Sql, path: str
) -> None:
    fill(sql)
    with serve(create_app(settings_for(database_url)), write_timeout_s=0.1) as (_, address):
        with ask_and_read_nothing(address, f"{path}?format=csv").socket:
            wait_until(lambda: 'reason="answer not read"' in httpx.get(f"{address}/metrics").text)
            wait_until(lambda: not sql(IN_TRANSACTION))
        assert httpx.get(f"{address}{path}?limit=1").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_caller_who_leaves_returns_the_connection(api: Api, sql: Sql, path: str) -> None:
    fill(sql)
    for _ in range(30):
        with api.stream("GET", path, params={"format": "ndjson"}) as response:
            assert response.status_code in (200, 503)
            if response.is_success:
                next(response.iter_raw())
    wait_until(lambda: not sql(IN_TRANSACTION))
    wait_until(lambda: api.get(path, params={"format": "csv"}).is_success)


def test_a_stop_does_not_wait_for_an_export_that_nobody_reads(database_url: URL, sql: Sql) -> None:
    fill(sql)
    with (
        running(MAIN, DATABASE_URL=environment_of(database_url), WRITE_TIMEOUT_S="3600") as (service, _),
        ask_and_read_nothing(f"http://127.0.0.1:{service.port}", "/history?format=csv").socket,
    ):
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 0
    assert "Traceback" not in service.output
    wait_until(lambda: not sql(IN_TRANSACTION))


def test_an_export_is_the_same_behind_pgbouncer(direct_or_pooled_url: URL, sql: Sql) -> None:
    fill(sql, 8)
    app = create_app(settings_for(direct_or_pooled_url))
    with serve(app) as (_, address), Api(address) as api:
        tasks = api.list_tasks()
        entries = [entry for page in api.pages("/history", limit=100) for entry in page["items"]]
        for path, items in (("/tasks", tasks), ("/history", entries)):
            assert items_of_ndjson(export(api, path, "ndjson")) == items
            assert rows_of_csv(export(api, path, "csv")) == rows_for(path.strip("/"), items)


def test_an_export_is_read_from_the_replica(
    database_url: URL, clone: Callable[[], AbstractContextManager[URL]]
) -> None:
    with clone() as replica:
        app = create_app(settings_for(database_url, database_read_url=replica))
        with serve(app) as (_, address), Api(address) as api:
            api.create_task()
            for path in PATHS:
                assert export(api, path, "ndjson") == ""


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("path", PATHS)
def test_an_export_needs_the_api_key(database_url: URL, path: str, file_format: str) -> None:
    key = "key-of-the-test-of-exports"
    with serve(create_app(settings_for(database_url, api_key=key))) as (_, address), Api(address) as api:
        refused = api.get(path, params={"format": file_format})
        assert "API key" in error_of(refused, 401)
        assert "Content-Disposition" not in refused.headers
        api.headers["Authorization"] = f"Bearer {key}"
        export(api, path, file_format)


@needs_curl
def test_a_caller_of_http_1_0_gets_an_export_too(api: Api, sql: Sql) -> None:
    """Uvicorn sends it in chunks, which HTTP/1.0 does not know, and curl can read."""
    fill(sql, 1)
    url = f"{api.base_url}/tasks?format=csv"
    read = subprocess.run([CURL, "--silent", "--fail", "--http1.0", url], capture_output=True, check=True)
    assert read.stdout == api.get(url).content


def test_an_export_on_a_connection_is_followed_by_other_answers(api: Api, sql: Sql) -> None:
    fill(sql, 1)
    with httpx.Client(base_url=api.base_url, timeout=PATIENCE_S, limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(3):
            assert len(items_of_ndjson(export(client, "/history", "ndjson"))) == 256
            assert client.head("/history?format=csv").content == b""
            assert data_of(client.get("/history?limit=1"))["pagination"]["total_count"] == 256
