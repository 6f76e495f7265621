"""A real PostgreSQL for the whole run, a database of its own for each test, and a live server."""

import asyncio
import atexit
import gc
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import URL, Engine, NullPool, Row, create_engine, text

from config import Settings, parse_database_url
from main import create_app
from src.database.database import Database
from src.database.migrate import prepare_schema
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from src.serving.server import ServerConfig
from tests.support.client import Api

Sql = Callable[..., Sequence[Row[Any]]]

# Before SQL that inserts entries of any time, and of tasks that never were: as those who restore them do.
AS_REPLICA = "SET session_replication_role = replica; "


def settings_for(url: URL, **overrides: Any) -> Settings:
    """The default settings on the database at `url`, whatever this machine's environment says."""
    return Settings(_env_file=None, **{"database_url": url, **overrides})


def execute(url: URL, statement: str, **parameters: Any) -> Sequence[Row[Any]]:
    """Run SQL on the database at `url` past the service, each statement a transaction of its own."""
    with _engine(url).connect() as connection:
        result = connection.execute(text(statement), parameters)
        return result.all() if result.returns_rows else []


@lru_cache(maxsize=8)
def _engine(url: URL) -> Engine:
    """Return what connects to `url` anew each time. To make one takes longer than most statements."""
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


@contextmanager
def memory_dir() -> Iterator[Path]:
    """A path for data that need not outlive the test, in memory where there is room."""
    memory = Path("/dev/shm")  # noqa: S108
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    path = (memory if has_room else Path(tempfile.gettempdir())) / f"task-backend-test-{secrets.token_hex(4)}"
    try:
        yield path
    finally:
        # A server that was killed has left its socket behind.
        for directory in (path, EmbeddedPostgres(path).socket_dir):
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def cluster_dir() -> Iterator[Path]:
    """A path like `memory_dir`'s for a PostgreSQL, with a cluster as good as new: initdb takes longer than a copy."""
    with memory_dir() as path:
        subprocess.run(["cp", "-a", _new_cluster(), path], check=True)  # noqa: S607
        yield path


@cache
def _new_cluster() -> Path:
    """Make a cluster to be copied, which is removed with the process."""
    kept = ExitStack()
    atexit.register(kept.close)
    path = kept.enter_context(memory_dir())
    with EmbeddedPostgres(path, NOT_DURABLE):
        return path


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the asynchronous tests as the service runs, on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def server_url() -> Iterator[URL]:
    """A PostgreSQL to make databases on: TEST_DATABASE_URL's, or one that lives in memory."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield parse_database_url(given)
        return
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        yield postgres.url


@pytest.fixture(scope="session")
def empty_database(server_url: URL) -> Iterator[Callable[[], URL]]:
    """Make databases without a schema, which are gone after the run."""
    made: list[str] = []

    def make(template: str = "template0") -> URL:
        name = f"test_{secrets.token_hex(6)}"
        execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        made.append(name)
        return server_url.set(database=name)

    yield make
    for name in made:
        execute(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_template(empty_database: Callable[..., URL]) -> str:
    """The name of a database with the schema, to be cloned: that takes a tenth of a migration."""
    url = empty_database()
    prepare_schema(settings_for(url))
    assert url.database is not None
    return url.database


@pytest.fixture(scope="session")
def clone(server_url: URL, migrated_template: str) -> Callable[[], AbstractContextManager[URL]]:
    """Make databases with the schema and no data, each for the length of a block."""

    @contextmanager
    def make() -> Iterator[URL]:
        name = f"test_{secrets.token_hex(6)}"
        # Half the time of the other strategy, for a template as small as this.
        execute(server_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY file_copy")
        try:
            yield server_url.set(database=name)
        finally:
            execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")

    return make


@pytest.fixture
def database_url(clone: Callable[[], AbstractContextManager[URL]]) -> Iterator[URL]:
    """A database of the test's own, with the schema and no data."""
    with clone() as url:
        yield url


@pytest.fixture
def sql(database_url: URL) -> Sql:
    """Run SQL on the test's database past the service."""
    return lambda statement, **parameters: execute(database_url, statement, **parameters)


@contextmanager
def transaction(url: URL, statement: str) -> Iterator[None]:
    """Run SQL in a transaction that is open, with its locks, until the block is left."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement))
        yield


@pytest.fixture
def database(database_url: URL) -> Iterator[Database]:
    """The service's own access to the test's database."""
    database = Database(settings_for(database_url))
    yield database
    database.close()


@contextmanager
def serve(app: FastAPI, **limits: Any) -> Iterator[tuple[FastAPI, str]]:
    """Serve `app` over HTTP, with settings for its connections, and yield it and its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = ServerConfig(app, Settings(_env_file=None, **limits))
    server = uvicorn.Server(config)
    runner = asyncio.Runner(loop_factory=config.get_loop_factory())

    def run() -> None:
        with runner:
            runner.run(server.serve([listener]))

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.01)
    app.state.loop = runner.get_loop()
    try:
        yield app, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def live_app(server_url: URL) -> Iterator[tuple[FastAPI, str]]:
    """The application and the address where an HTTP server serves it for the whole run."""
    with serve(create_app(settings_for(server_url))) as live:
        yield live


@pytest.fixture
def api(live_app: tuple[FastAPI, str], database: Database) -> Iterator[Api]:
    """A client of the live server, which for this test serves the test's database."""
    app, address = live_app
    app.state.database = database
    with Api(base_url=address) as client:
        yield client
    close(database, app)


def close(database: Database, app: FastAPI) -> None:
    """Close what `app` has used on its event loop, which watches the connections."""

    async def on_loop() -> None:
        database.close()

    asyncio.run_coroutine_threadsafe(on_loop(), app.state.loop).result()


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what is there to stay, as the service does."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With TEST_FAIL_ON_SKIP, where everything is installed, a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("TEST_FAIL_ON_SKIP"):
        report.outcome = "failed"
    return report
