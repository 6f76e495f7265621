"""A real PgBouncer in transaction mode, in front of a test's PostgreSQL."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection
from sqlalchemy import URL

from tests.support.clusters import memory_dir
from tests.support.service import free_port
from tests.support.waiting import wait_until

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")

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
; Try a server that was away again at once, not after 15 seconds.
server_login_retry = 0.1
query_wait_timeout = 10
logfile = {directory}/pgbouncer.log
"""


@contextmanager
def pgbouncer(
    server: URL, connections: int = 2, lifetime_s: int = 3600, listen_port: int | None = None
) -> Iterator[URL]:
    """Run PgBouncer with so many server connections to each database, and yield where to connect instead."""
    assert PROGRAM is not None
    listen_port = listen_port or free_port()
    # PgBouncer, like PostgreSQL, refuses to run as root.
    account = pwd.getpwnam("postgres" if server.host is None and os.geteuid() == 0 else "nobody")
    options = {"user": account.pw_uid, "group": account.pw_gid} if os.geteuid() == 0 else {}
    with memory_dir() as directory:
        directory.mkdir()
        configuration = Path(directory, "pgbouncer.ini")
        configuration.write_text(
            CONFIGURATION.format(
                host=server.host or server.query["host"],
                port=server.port or server.query.get("port", 5432),
                user=server.username,
                password=f" password={server.password}" if server.password else "",
                listen_port=listen_port,
                connections=connections,
                lifetime_s=lifetime_s,
                directory=directory,
            )
        )
        if options:
            os.chown(directory, account.pw_uid, account.pw_gid)
        process = subprocess.Popen([PROGRAM, "-q", configuration], **options)  # type: ignore[call-overload]
        try:
            yield _wait_until_up(server.set(host="127.0.0.1", port=listen_port, query={}))
        finally:
            process.terminate()
            process.wait()


def _wait_until_up(url: URL) -> URL:
    def connected() -> connection:
        return psycopg2.connect(host=url.host, port=url.port, user=url.username, dbname=url.database or "postgres")

    wait_until(connected, not_yet=(psycopg2.OperationalError,)).close()
    return url
