"""Fixtures for the data of an embedded PostgreSQL, and for a PgBouncer in front of the tests' one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.support.clusters import cluster_dir, memory_dir
from tests.support.pgbouncer import PROGRAM, pgbouncer


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory with a fresh cluster."""
    with cluster_dir() as directory:
        yield directory


@pytest.fixture
def empty_data_dir() -> Iterator[Path]:
    """The path of a data directory that does not exist yet."""
    with memory_dir() as directory:
        yield directory


@pytest.fixture(scope="session")
def pooler_url(server_url: URL) -> Iterator[URL]:
    """The tests' PostgreSQL, behind PgBouncer in transaction mode."""
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    with pgbouncer(server_url) as url:
        yield url


@pytest.fixture(params=["direct", "pooled"])
def direct_or_pooled_url(request: pytest.FixtureRequest, database_url: URL) -> URL:
    """The test's database: once directly, once behind PgBouncer."""
    if request.param == "direct":
        return database_url
    pooler: URL = request.getfixturevalue("pooler_url")
    return pooler.set(database=database_url.database)
