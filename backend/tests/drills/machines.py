"""The machines of `deploy/`: HAProxy, two processes of the service, and two PostgreSQL with a PgBouncer each.

The second PostgreSQL is a synchronous replica of the first. Everything runs with the configuration
in `deploy/`. Each machine is an address of the loopback network, with the ports of real life; Linux
has all of 127.0.0.0/8 without further setup.
"""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from config import BACKEND, parse_database_url
from src.database.migrate import prepare_schema
from src.embedded_postgres.programs import programs_for, unprivileged_account
from tests.support.clusters import memory_dir
from tests.support.databases import execute, settings_for
from tests.support.pgbouncer import pgbouncer_process
from tests.support.server_program import as_account, server_program
from tests.support.service import MAIN, Service
from tests.support.waiting import wait_until

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
DEPLOY = BACKEND.parent / "deploy"
FRONTEND_URL = "http://localhost:3000"


class Postgres:
    """A machine of PostgreSQL: its data, its server and its PgBouncer."""

    def __init__(self, name: str, address: str, directory: Path, stack: ExitStack) -> None:
        self.address = address
        self._account = unprivileged_account(directory)
        self._programs = programs_for(self._account)
        self._stack = stack
        self.home = directory / name
        self._data = self.home / "data"
        self._make_directory(self.home)
        for configuration in ("postgresql.conf", "primary.conf", "pg_hba.conf", "pgbouncer.ini"):
            shutil.copy(DEPLOY / configuration, self.home)
        # The drill reads the data as PostgreSQL's superuser, whatever account it runs as.
        (self.home / "hba").write_text(f"local all postgres trust\ninclude {self.home}/pg_hba.conf\n")

    @property
    def superuser_url(self) -> URL:
        return URL.create("postgresql+psycopg2", "postgres", database="tasks", query={"host": str(self.home)})

    def create(self) -> None:
        """Make a cluster with the roles, the database and the schema. It has no replica yet."""
        self._run("initdb", "-D", self._data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self._configure("postgresql.conf")
        self.start()
        for statement in (DEPLOY / "roles.sql").read_text().strip().split(";\n"):
            execute(self.superuser_url.set(database="postgres"), statement)
        owner = parse_database_url(f"postgresql://tasks_owner:one-password@{self.address}/tasks")
        prepare_schema(settings_for(owner))
        execute(owner, (DEPLOY / "grants.sql").read_text())

    def copy_from(self, primary: "Postgres") -> None:
        """Make a replica of `primary`, and start it."""
        source = f"host={primary.address} user=replicator password=a-third-password"
        self._run("pg_basebackup", "-D", self._data, "--write-recovery-conf", "--checkpoint=fast", "-d", source)
        self.start()

    def replicate(self) -> None:
        """From now on, acknowledge only what a replica has too."""
        self._configure("primary.conf")
        self._run("pg_ctl", "reload", "-D", self._data)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "--no-wait", "-D", self._data)

    def start(self) -> None:
        here = ("-D", self._data, "-h", self.address, "-k", self.home, "-c", f"hba_file={self.home}/hba")
        # No machine crashes here, and a killed process loses nothing that it has written, so fsync is off.
        # A killed process would leave shared memory behind, unless that is a file among its data.
        cheaper = ("-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap")
        command: list[str | Path] = [self._programs / "postgres", *here, *cheaper]
        # SIGINT is PostgreSQL's fast shutdown.
        self.server = self._stack.enter_context(server_program(command, self.home, self._account, signal.SIGINT))
        connect = partial(execute, self.superuser_url.set(database="postgres"), "SELECT")
        wait_until(connect, not_yet=(DBAPIError,))

    def start_pgbouncer(self) -> None:
        (self.home / "userlist.txt").write_text('"tasks_app" "another-password"\n')
        configuration = self.home / "of-this-machine.ini"
        # A second header [pgbouncer] would undo the included settings.
        configuration.write_text(
            f"%include {self.home}/pgbouncer.ini\n"
            f"listen_addr = {self.address}\nunix_socket_dir =\nauth_file = {self.home}/userlist.txt\n"
            f"[databases]\ntasks = host={self.home}\n"
        )
        self.pgbouncer = self._stack.enter_context(pgbouncer_process(configuration, self._account))

    def kill_pgbouncer(self) -> None:
        self.pgbouncer.kill()
        self.pgbouncer.wait()

    def fall_silent(self) -> None:
        """Vanish as if the power had failed: nothing closes the connections of this machine."""
        server = psutil.Process(self.server.pid)
        lost = [psutil.Process(self.pgbouncer.pid), server, *server.children()]
        for process in lost:
            # PostgreSQL has a process for each connection, and that one may have ended meanwhile.
            with suppress(psutil.NoSuchProcess):
                process.suspend()

        def end() -> None:
            for process in lost:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

        self._stack.callback(end)

    def sync_state(self) -> str:
        """How the one replica follows this primary: `sync_state` of pg_stat_replication."""
        [(state,)] = execute(self.superuser_url, "SELECT sync_state FROM pg_stat_replication")
        return str(state)

    def sessions(self) -> int:
        """How many connections the services have to this PostgreSQL, through PgBouncer."""
        [(count,)] = execute(self.superuser_url, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tasks_app'")
        return int(count)

    def _configure(self, name: str) -> None:
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"include '{self.home}/{name}'\n")

    def _make_directory(self, path: Path) -> None:
        path.mkdir()
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._programs / program, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.home, **as_account(self._account))


def new_addresses() -> dict[str, str]:
    """Return addresses of the loopback network that no other run has, by their names in haproxy.cfg."""
    network = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}"
    names = ("FRONT", "BACK", "API1", "API2", "DB1", "DB2")
    return {name: f"{network}.{number}" for number, name in enumerate(names, start=1)}


def haproxy(directory: Path, addresses: dict[str, str]) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """Run HAProxy with the configuration in `deploy/`."""
    assert HAPROXY is not None
    environment = {**os.environ, **addresses, "FRONTEND_URL": FRONTEND_URL}
    return server_program([HAPROXY, "-f", DEPLOY / "haproxy.cfg"], directory, environment=environment)


class Machines:
    """All machines, as `deploy/` describes them."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        addresses = new_addresses()
        self.address = f"http://{addresses['FRONT']}:8000"
        self.primary = Postgres("db1", addresses["DB1"], directory, stack)
        self.replica = Postgres("db2", addresses["DB2"], directory, stack)
        self._start_databases()
        stack.enter_context(haproxy(directory, addresses))
        self.services = [self._start_service(addresses[api], addresses["BACK"]) for api in ("API1", "API2")]
        for service in self.services:
            service.wait_for("Application startup complete")
        # PgBouncer runs with the file of deploy/.
        for postgres in (self.primary, self.replica):
            assert "max_client_conn: 1000" in (postgres.home / "log").read_text()
        for path in ("/tasks", "/stats/weekly"):
            wait_until(partial(self._answers, path), not_yet=(httpx.HTTPError,))

    def _start_databases(self) -> None:
        self.primary.create()
        self.replica.copy_from(self.primary)
        self.primary.replicate()
        for postgres in (self.primary, self.replica):
            postgres.start_pgbouncer()

    def _start_service(self, address: str, databases: str) -> Service:
        application = f"postgresql://tasks_app:another-password@{databases}"
        urls = {"DATABASE_URL": f"{application}:5000/tasks", "DATABASE_READ_URL": f"{application}:5001/tasks"}
        service = Service(MAIN, BACKEND, HOST=address, PORT="8000", AUTO_MIGRATE="false", **urls)
        self._stack.callback(_stop, service)
        return service

    def _answers(self, path: str) -> bool:
        return httpx.get(self.address + path).is_success


def _stop(service: Service) -> None:
    if service.process.poll() is None:
        service.stop()


@contextmanager
def machines() -> Iterator[Machines]:
    """Start all machines, and stop those that are left when the block ends."""
    with memory_dir() as directory, ExitStack() as stack:
        directory.mkdir(mode=0o755)
        yield Machines(directory, stack)
