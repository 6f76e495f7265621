"""What stands between the service and its database, where a test wants something there."""

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from tests.support.pgbouncer import PROGRAM, pgbouncer


@pytest.fixture(scope="session")
def pooler_url(server_url: URL) -> Iterator[URL]:
    """The tests' PostgreSQL behind PgBouncer, in transaction mode."""
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    with pgbouncer(server_url) as url:
        yield url


@pytest.fixture(params=["direct", "pooled"])
def direct_or_pooled_url(request: pytest.FixtureRequest, database_url: URL) -> URL:
    """The test's database, straight and behind PgBouncer."""
    if request.param == "direct":
        return database_url
    pooler: URL = request.getfixturevalue("pooler_url")
    return pooler.set(database=database_url.database)
