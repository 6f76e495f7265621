"""Fixtures: one PostgreSQL for the whole run, a database for each test, and a live server."""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial

import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from config import parse_database_url
from main import create_app
from src.database.database import Database
from src.database.migrate import prepare_schema
from src.database.search_indexes import build_search_indexes
from src.embedded_postgres.server import NOT_DURABLE, EmbeddedPostgres
from src.services.event_feed import EventFeed
from tests.support.client import Api
from tests.support.clusters import cluster_dir
from tests.support.databases import Sql, execute, new_database, settings_for
from tests.support.live_server import close_database, serve
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, as the service runs."""
    return "asyncio"


@pytest.fixture(scope="session")
def server_url() -> Iterator[URL]:
    """A PostgreSQL to create databases on: TEST_DATABASE_URL's, or one that lives in memory."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield parse_database_url(given)
        return
    with cluster_dir() as data_dir, EmbeddedPostgres(data_dir, NOT_DURABLE) as postgres:
        yield postgres.url


@pytest.fixture(scope="session")
def empty_database(server_url: URL) -> Iterator[Callable[..., URL]]:
    """Create databases without a schema, which are dropped after the run."""
    with ExitStack() as stack:
        yield lambda *template: stack.enter_context(new_database(server_url, *template))


@pytest.fixture(scope="session")
def migrated_template(empty_database: Callable[..., URL]) -> str:
    """The name of a database with the schema, to clone: a clone takes a tenth of the time of a migration."""
    url = empty_database()
    prepare_schema(settings_for(url))
    build_search_indexes(settings_for(url))
    assert url.database is not None
    return url.database


@pytest.fixture(scope="session")
def clone(server_url: URL, migrated_template: str) -> Callable[[], AbstractContextManager[URL]]:
    """Create databases with the schema and no data, each for the length of a block."""
    return partial(new_database, server_url, migrated_template)


@pytest.fixture
def database_url(clone: Callable[[], AbstractContextManager[URL]]) -> Iterator[URL]:
    """A database of the test's own, with the schema and no data."""
    with clone() as url:
        yield url


@pytest.fixture
def sql(database_url: URL) -> Sql:
    """Run SQL on the test's database, past the service."""
    return partial(execute, database_url)


@pytest.fixture
def database(database_url: URL) -> Iterator[Database]:
    """The service's own access to the test's database."""
    database = Database(settings_for(database_url))
    yield database
    database.close()


@pytest.fixture(scope="session")
def live_app(server_url: URL) -> Iterator[tuple[FastAPI, str]]:
    """The application and its address; one HTTP server serves it for the whole run."""
    with serve(create_app(settings_for(server_url))) as live:
        yield live


@pytest.fixture
def api(live_app: tuple[FastAPI, str], database: Database) -> Iterator[Api]:
    """A client of the live server, which uses the test's database for the length of this test."""
    app, address = live_app
    app.state.database = database
    feed = app.state.event_feed = EventFeed(database, 100, lambda: False)
    with Api(base_url=address) as client:
        yield client
    # In the middle of a look, it would complain of the missing database, in the log of another test.
    wait_until(lambda: feed._timer is None and (feed._looking is None or feed._looking.done()))
    close_database(database, app)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run in four processes if pytest-xdist is installed, unless the command line says otherwise (-n0, --pdb)."""
    is_worker = hasattr(config, "workerinput")
    may_distribute = config.pluginmanager.hasplugin("xdist") and not is_worker and not config.option.usepdb
    if may_distribute and config.option.numprocesses is None:
        config.option.numprocesses, config.option.dist = 4, "worksteal"


def pytest_collection_finish() -> None:
    """Exempt everything that is loaded by now from garbage collection, as the service does."""
    gc.collect()
    gc.freeze()


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With TEST_FAIL_ON_SKIP, on a machine that has everything, a skip is a failure."""
    if report.skipped and os.environ.get("TEST_FAIL_ON_SKIP"):
        report.outcome = "failed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself, or that a fixture of it skips."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself because a package is missing."""
    report = yield
    _fail_if_skipped(report)
    return report
