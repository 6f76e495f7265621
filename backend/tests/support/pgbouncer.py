"""A real PgBouncer in transaction mode, in front of a test's PostgreSQL."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection
from sqlalchemy import URL

from src.embedded_postgres.programs import unprivileged_account
from tests.support.clusters import memory_dir
from tests.support.server_program import server_program
from tests.support.service import free_port
from tests.support.waiting import wait_until

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

# How many server connections to each database it has, unless a test asks for another number.
CONNECTIONS = 2

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}{password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
server_lifetime = {lifetime_s}
max_client_conn = 500
; Reconnect at once to a server that was away, not after 15 seconds.
server_login_retry = 0.1
query_wait_timeout = 10
"""


@contextmanager
def pgbouncer(
    server: URL, connections: int = CONNECTIONS, lifetime_s: int = 3600, listen_port: int | None = None
) -> Iterator[URL]:
    """Run PgBouncer with that many server connections to each database, and yield the URL to connect to instead."""
    front = server.set(host="127.0.0.1", port=listen_port or free_port(), query={})
    with memory_dir() as directory:
        directory.mkdir()
        account = unprivileged_account(directory)
        configuration = directory / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(
                host=server.host or server.query["host"],
                port=server.port or server.query.get("port", 5432),
                user=server.username,
                password=f" password={server.password}" if server.password else "",
                listen_port=front.port,
                connections=connections,
                lifetime_s=lifetime_s,
            )
        )
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        with pgbouncer_process(configuration, account):
            yield _wait_until_up(front)


def pgbouncer_process(
    configuration: Path, account: pwd.struct_passwd | None
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """Run PgBouncer with the file `configuration`, in its directory."""
    assert PROGRAM is not None
    return server_program([PROGRAM, configuration], configuration.parent, account)


def _wait_until_up(url: URL) -> URL:
    def connected() -> connection:
        return psycopg2.connect(host=url.host, port=url.port, user=url.username, dbname=url.database or "postgres")

    wait_until(connected, not_yet=(psycopg2.OperationalError,)).close()
    return url
