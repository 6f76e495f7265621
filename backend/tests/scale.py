"""`make test-scale`: the service on several machines, of which two are killed; the tests run the same for seconds.

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
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from config import BACKEND
from src.database.embedded_programs import programs_for, unprivileged_account
from src.database.migrate import prepare_schema
from tests.conftest import execute, memory_dir, settings_for
from tests.load import Findings, Writers, audit
from tests.pgbouncer import PROGRAM as PGBOUNCER
from tests.service import MAIN, Service

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
DEPLOY = BACKEND.parent / "deploy"
LONGEST_GAP_S = 3.0

_ROLES = (
    "CREATE ROLE tasks LOGIN PASSWORD 'tasks'",
    "CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'replicator'",
    "CREATE ROLE haproxy LOGIN",
    "CREATE DATABASE tasks OWNER tasks",
)


class Outcome(NamedTuple):
    """What the callers met, and what the database that was left says; see `Findings`."""

    changes: int
    reads: int
    errors: list[str]
    longest_gap_s: float
    findings: Findings


class Readers:
    """Callers, each on a thread of its own, who read what may come from a replica until the block is left."""

    def __init__(self, address: str, count: int = 8) -> None:
        self.answers = 0
        self.errors: list[str] = []
        self._address = address
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        with httpx.Client(base_url=self._address, timeout=30) as client:
            while not self._stop.is_set():
                for path in ("/tasks?limit=20", "/history", "/stats/weekly"):
                    try:
                        response = client.get(path)
                    except httpx.TransportError as error:
                        self.errors.append(f"{path}: {error!r}")
                        continue
                    self.answers += 1
                    if not response.is_success:
                        self.errors.append(f"{path}: {response.status_code} {response.text}")


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
        for configuration in ("primary.conf", "replica.conf", "pg_hba.conf", "pgbouncer.ini"):
            shutil.copy(DEPLOY / configuration, self.home)
        # The tests look at the data as the superuser, who need not be the one who runs them.
        (self.home / "hba").write_text(f"local all postgres trust\ninclude {self.home}/pg_hba.conf\n")

    @property
    def superuser_url(self) -> URL:
        return URL.create("postgresql+psycopg2", "postgres", database="tasks", query={"host": str(self.home)})

    def create(self) -> None:
        """Make a cluster with the roles and the database, which has no replica yet."""
        self._run("initdb", "-D", self._data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self.start()
        for statement in _ROLES:
            execute(self.superuser_url.set(database="postgres"), statement)

    def copy_from(self, primary: "Postgres") -> None:
        """Make a replica of `primary`, and start it."""
        source = f"host={primary.address} user=replicator password=replicator"
        self._run("pg_basebackup", "-D", self._data, "--write-recovery-conf", "--checkpoint=fast", "-d", source)
        self._configure("replica.conf")
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
        self.server = self._start([self._programs / "postgres", *here, *cheaper])
        _wait_for(partial(execute, self.superuser_url.set(database="postgres"), "SELECT"))

    def start_pgbouncer(self) -> None:
        assert PGBOUNCER is not None
        (self.home / "userlist.txt").write_text('"tasks" "tasks"\n')
        configuration = self.home / "of-this-machine.ini"
        configuration.write_text(
            f"%include {self.home}/pgbouncer.ini\n"
            f"[databases]\ntasks = host={self.home}\n"
            f"[pgbouncer]\nlisten_addr = {self.address}\nunix_socket_dir =\nauth_file = {self.home}/userlist.txt\n"
        )
        self.pgbouncer = self._start([PGBOUNCER, configuration])

    def kill(self) -> None:
        """Let the whole machine be gone, as when its power fails."""
        for process in (self.pgbouncer, self.server):
            process.kill()
            process.wait()

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

    def _start(self, command: Sequence[str | Path]) -> "subprocess.Popen[bytes]":
        return _started(command, self._stack, self.home, **self._options())

    def _options(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}


def _started(command: Sequence[str | Path], stack: ExitStack, home: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a server that is stopped with `stack`, if it still runs."""
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, **options)

    def stop() -> None:
        if process.poll() is None:
            # PostgreSQL's fast shutdown, and PgBouncer's and HAProxy's quick one.
            process.send_signal(signal.SIGINT)
            process.wait()

    stack.callback(stop)
    return process


def _wait_for(attempt: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            attempt()
        except (DBAPIError, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


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
        front, api1, api2, db1, db2 = (f"{network}.{number}" for number in range(1, 6))
        self.address = f"http://{front}:8000"
        self.primary = Postgres("db1", db1, directory, stack)
        self.replica = Postgres("db2", db2, directory, stack)
        self.primary.create()
        self.replica.copy_from(self.primary)
        self.primary.replicate()
        prepare_schema(settings_for(URL.create("postgresql+psycopg2", "tasks", "tasks", db1, 5432, "tasks")))
        for postgres in (self.primary, self.replica):
            postgres.start_pgbouncer()

        assert HAPROXY is not None
        addresses = {"FRONT": front, "API1": api1, "API2": api2, "DB1": db1, "DB2": db2}
        _started([HAPROXY, "-f", DEPLOY / "haproxy.cfg"], stack, directory, env={**os.environ, **addresses})
        urls = {
            "DATABASE_URL": f"postgresql://tasks:tasks@{front}:5000/tasks",
            "DATABASE_READ_URL": f"postgresql://tasks:tasks@{front}:5001/tasks",
        }
        self.services = [
            Service(MAIN, BACKEND, HOST=api, PORT="8000", AUTO_MIGRATE="false", **urls) for api in (api1, api2)
        ]
        for service in self.services:
            stack.callback(_stop, service)
            service.wait_for("Application startup complete")
        for path in ("/tasks", "/stats/weekly"):
            _wait_for(lambda: httpx.get(self.address + path).raise_for_status())  # noqa: B023  # It is called at once.


def _stop(service: Service) -> None:
    if service.process.poll() is None:
        service.stop()


def lose_two_machines(seconds: float) -> Outcome:
    """Kill a process of the service, then the primary, whose replica is promoted at once; each after `seconds`."""
    with machines() as all_of_them:
        with Writers(all_of_them.address) as writers, Readers(all_of_them.address) as readers:
            time.sleep(seconds)
            all_of_them.services[0].stop(signal.SIGKILL)
            time.sleep(seconds)
            all_of_them.primary.kill()
            all_of_them.replica.promote()
            time.sleep(seconds)
        return Outcome(
            changes=len(writers.acknowledged),
            reads=readers.answers,
            errors=[*writers.errors, *writers.breaks, *readers.errors],
            longest_gap_s=writers.longest_gap_s,
            findings=audit(all_of_them.replica.superuser_url, writers.acknowledged),
        )


def main() -> None:
    """Print what was found; exit with 1 where a promise was broken."""
    outcome = lose_two_machines(10)
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
