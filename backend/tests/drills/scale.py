"""`make test-scale`: the service on several machines, some of which are killed; the tests run the same for seconds.

HAProxy, two processes of the service, and two PostgreSQL with a PgBouncer each, the second a synchronous
replica of the first, all with the configuration in `deploy/`. Each machine is an address of the
loopback network with the ports of real life, which Linux has without being asked.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from config import BACKEND, parse_database_url
from src.database.migrate import prepare_schema
from src.embedded_postgres.programs import programs_for, unprivileged_account
from tests.support.clusters import memory_dir
from tests.support.databases import execute, settings_for
from tests.support.load import Findings, Readers, Writers, audit
from tests.support.pgbouncer import PROGRAM as PGBOUNCER
from tests.support.readme import readme_code
from tests.support.service import MAIN, Service
from tests.support.waiting import wait_until

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
DEPLOY = BACKEND.parent / "deploy"
LONGEST_GAP_S = 3.0
# How many changes there must be, however long they take, between one loss and the next.
CHANGES = 50
FRONTEND_URL = "http://localhost:3000"


class Outcome(NamedTuple):
    """What the callers met, and what the database that was left says; see `Findings`."""

    changes: int
    reads: int
    errors: list[str]
    longest_gap_s: float
    findings: Findings
    # To a page of the frontend, when no process of the service is left.
    last_answer: httpx.Response


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
        # The tests look at the data as the superuser, who need not be the one who runs them.
        (self.home / "hba").write_text(f"local all postgres trust\ninclude {self.home}/pg_hba.conf\n")

    @property
    def superuser_url(self) -> URL:
        return URL.create("postgresql+psycopg2", "postgres", database="tasks", query={"host": str(self.home)})

    def create(self) -> None:
        """Make a cluster with the roles, the database and the schema, which has no replica yet."""
        self._run("initdb", "-D", self._data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self._configure("postgresql.conf")
        self.start()
        for statement in (DEPLOY / "roles.sql").read_text().strip().split(";\n"):
            execute(self.superuser_url.set(database="postgres"), statement)
        owner = parse_database_url(f"postgresql://tasks_owner:one-password@{self.address}/tasks")
        prepare_schema(settings_for(owner))
        _, grants = readme_code("sql")
        execute(owner, grants)

    def copy_from(self, primary: "Postgres") -> None:
        """Make a replica of `primary`, and start it."""
        source = f"host={primary.address} user=replicator password=a-third-password"
        self._run("pg_basebackup", "-D", self._data, "--write-recovery-conf", "--checkpoint=fast", "-d", source)
        self.start()

    def replicate(self) -> None:
        """Acknowledge nothing any more that a replica does not have."""
        self._configure("primary.conf")
        self._run("pg_ctl", "reload", "-D", self._data)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "--no-wait", "-D", self._data)

    def start(self) -> None:
        here = ("-D", self._data, "-h", self.address, "-k", self.home, "-c", f"hba_file={self.home}/hba")
        # No machine crashes, and a killed process loses nothing that it has written; but it would leave
        # shared memory behind, if that were not a file among its data.
        cheaper = ("-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap")
        # Its fast shutdown.
        self.server = self._start([self._programs / "postgres", *here, *cheaper], signal.SIGINT)
        _wait_for(partial(execute, self.superuser_url.set(database="postgres"), "SELECT"))

    def start_pgbouncer(self) -> None:
        assert PGBOUNCER is not None
        (self.home / "userlist.txt").write_text('"tasks_app" "another-password"\n')
        configuration = self.home / "of-this-machine.ini"
        # Another header [pgbouncer] would undo what is included.
        configuration.write_text(
            f"%include {self.home}/pgbouncer.ini\n"
            f"listen_addr = {self.address}\nunix_socket_dir =\nauth_file = {self.home}/userlist.txt\n"
            f"[databases]\ntasks = host={self.home}\n"
        )
        self.pgbouncer = self._start([PGBOUNCER, configuration], signal.SIGTERM)

    def kill_pgbouncer(self) -> None:
        self.pgbouncer.kill()
        self.pgbouncer.wait()

    def fall_silent(self) -> None:
        """Let the whole machine be gone as when its power fails: nothing closes its connections."""
        server = psutil.Process(self.server.pid)
        lost = [psutil.Process(self.pgbouncer.pid), server, *server.children()]
        for process in lost:
            # A process of one of PostgreSQL's connections may have ended meanwhile.
            with suppress(psutil.NoSuchProcess):
                process.suspend()

        def end() -> None:
            for process in lost:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

        self._stack.callback(end)

    def sync_state(self) -> str:
        """How the one replica follows, in the words of pg_stat_replication."""
        [(state,)] = execute(self.superuser_url, "SELECT sync_state FROM pg_stat_replication")
        return str(state)

    def sessions(self) -> int:
        """How many connections to PostgreSQL the services have, through PgBouncer."""
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
        subprocess.run(
            [self._programs / program, *arguments], check=True, capture_output=True, cwd=self.home, **self._options()
        )

    def _start(self, command: Sequence[str | Path], how: signal.Signals) -> "subprocess.Popen[bytes]":
        return _started(command, how, self._stack, self.home, **self._options())

    def _options(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}


def _started(
    command: Sequence[str | Path], how: signal.Signals, stack: ExitStack, home: Path, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a server that is stopped with `stack` by the signal `how`."""
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, **options)

    def stop() -> None:
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)
    return process


def _wait_for(attempt: Callable[[], object]) -> None:
    def succeeds() -> bool:
        try:
            attempt()
        except (DBAPIError, httpx.HTTPError):
            return False
        return True

    wait_until(succeeds)


@contextmanager
def machines() -> Iterator["Machines"]:
    """Start everything, and stop what is left of it."""
    with memory_dir() as directory, ExitStack() as stack:
        directory.mkdir(mode=0o755)
        yield Machines(directory, stack)


class Machines:
    """The whole of it, as `deploy/` has it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        # Addresses of this run's own.
        network = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}"
        front, back, api1, api2, db1, db2 = (f"{network}.{number}" for number in range(1, 7))
        self.address = f"http://{front}:8000"
        self.primary = Postgres("db1", db1, directory, stack)
        self.replica = Postgres("db2", db2, directory, stack)
        self.primary.create()
        self.replica.copy_from(self.primary)
        self.primary.replicate()
        for postgres in (self.primary, self.replica):
            postgres.start_pgbouncer()

        assert HAPROXY is not None
        names = {"FRONT": front, "BACK": back, "API1": api1, "API2": api2, "DB1": db1, "DB2": db2}
        environment = {**os.environ, **names, "FRONTEND_URL": FRONTEND_URL}
        _started([HAPROXY, "-f", DEPLOY / "haproxy.cfg"], signal.SIGTERM, stack, directory, env=environment)
        urls = {
            "DATABASE_URL": f"postgresql://tasks_app:another-password@{back}:5000/tasks",
            "DATABASE_READ_URL": f"postgresql://tasks_app:another-password@{back}:5001/tasks",
        }
        self.services = [
            Service(MAIN, BACKEND, HOST=api, PORT="8000", AUTO_MIGRATE="false", **urls) for api in (api1, api2)
        ]
        for service in self.services:
            stack.callback(_stop, service)
        for service in self.services:
            service.wait_for("Application startup complete")
        # PgBouncer runs with the file of deploy/.
        for postgres in (self.primary, self.replica):
            assert "max_client_conn: 1000" in (postgres.home / "log").read_text()
        for path in ("/tasks", "/stats/weekly"):
            _wait_for(lambda: httpx.get(self.address + path).raise_for_status())  # noqa: B023  # It is called at once.


def _stop(service: Service) -> None:
    if service.process.poll() is None:
        service.stop()


def lose_machines(seconds: float, changes: int) -> Outcome:
    """Kill the way to the replica, a process of the service, and the primary, whose replica is promoted at once.

    Each after `seconds` and so many `changes`; the way to the replica is back before the primary is gone.
    """
    with machines() as all_of_them:
        with Writers(all_of_them.address) as writers, Readers(all_of_them.address) as readers:

            def go_on() -> None:
                time.sleep(seconds)
                writers.wait_for_changes(changes)

            go_on()
            # Both are what they are said to be.
            assert all_of_them.primary.sync_state() == "sync"
            assert all_of_them.primary.sessions() > 0
            wait_until(all_of_them.replica.sessions)
            all_of_them.replica.kill_pgbouncer()
            go_on()
            all_of_them.replica.start_pgbouncer()
            all_of_them.services[0].stop(signal.SIGKILL)
            go_on()
            all_of_them.primary.fall_silent()
            all_of_them.replica.promote()
            go_on()
        all_of_them.services[1].stop()
        return Outcome(
            changes=len(writers.acknowledged),
            reads=readers.answers,
            errors=[*writers.errors, *writers.broken, *["connection refused"] * writers.refused, *readers.errors],
            longest_gap_s=writers.longest_gap_s,
            findings=audit(all_of_them.replica.superuser_url, writers.acknowledged),
            last_answer=httpx.get(f"{all_of_them.address}/tasks", headers={"Origin": FRONTEND_URL}),
        )


def main() -> None:
    """Print what was found; exit with 1 where a promise was broken."""
    outcome = lose_machines(10, CHANGES)
    for error in outcome.errors:
        print(error)
    print(f"acknowledged changes:   {outcome.changes}, lost: {len(outcome.findings.lost)}")
    print(f"tasks without history:  {len(outcome.findings.orphans)}")
    print(f"illegal or miscounted:  {len(outcome.findings.illegal) + len(outcome.findings.miscounted)}")
    print(f"client errors:          {len(outcome.errors)} of {outcome.changes + outcome.reads} requests")
    print(f"longest gap:            {outcome.longest_gap_s:.2f} s without an acknowledged change")
    sys.exit(any(outcome.findings) or outcome.longest_gap_s > LONGEST_GAP_S)


if __name__ == "__main__":
    main()
