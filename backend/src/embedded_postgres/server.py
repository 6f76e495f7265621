"""A real PostgreSQL from a Python wheel, owned by the process that starts it.

The wheel's own Python layer leaves its server running when the owner is killed, does not restart one that
dies, and as root opens directories to every account; so the service uses only the wheel's programs. Delete
this directory once DATABASE_URL is required, or once such a layer ties the server to its owner.
"""

import errno
import hashlib
import logging
import os
import shlex
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Self

from sqlalchemy import URL

from src.embedded_postgres.data_directory import (
    LEFTOVER_TIMEOUT_S,
    SUPERUSER,
    create_cluster,
    end_leftover_server,
    lock_data,
    make_private,
    require_version,
    url_of_socket,
)
from src.embedded_postgres.process import PostgresProcess
from src.embedded_postgres.programs import (
    EmbeddedPostgresError,
    major_version,
    programs_for,
    unprivileged_account,
    version_of,
)
from src.utils.full_disk import mark_disk_full, unmark_disk_full

log = logging.getLogger(__name__)

_FIRST_RESTART_PAUSE_S = 0.1
_LONGEST_RESTART_PAUSE_S = 10.0
_LOOK_INTERVAL_S = 1.0

# With the directory and the name of the socket, it is 100 bytes long.
_LONGEST_PARENT_BYTES = 56

# In the locale C, which the cluster has.
_NO_ROOM = os.strerror(errno.ENOSPC)
_STILL_IN_USE = "pre-existing shared memory block"

# For throwaway clusters: nothing survives a crash, and no test needs that.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """A PostgreSQL server that runs while the `with` block does, and no longer than the process.

    It listens on a Unix socket in a private directory and on no network address. It starts again if it
    ends unexpectedly. `data_dir` is created if it is missing, and serves one running server only.
    `settings` are server settings (`postgresql.conf` names). `programs` is the directory of another
    PostgreSQL's programs, which run instead of the wheel's. Raises `EmbeddedPostgresError` on entry if
    the server cannot start. Enter it on a thread that outlives the block: on Linux the server stops when
    the thread that started it ends.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None, programs: Path | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._settings = dict(settings or {})
        self._programs = programs
        self._cluster = self.data_dir / "cluster"
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        self.socket_dir = _parent_of_sockets() / f"task-backend-{digest}"
        self._lock: IO[str] | None = None
        self._starting = Lock()
        self._stopping = False
        self._server: PostgresProcess | None = None

    @property
    def url(self) -> URL:
        """Where to connect."""
        return url_of_socket(self.socket_dir)

    @property
    def psql_command(self) -> str:
        """The command that opens the data in PostgreSQL's own client."""
        psql = str(self._bin / "psql")
        return shlex.join([psql, "-h", str(self.socket_dir), "-p", "5432", "-U", SUPERUSER, "postgres"])

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._server is not None
        return self._server.pid

    def __enter__(self) -> Self:
        self._account = unprivileged_account(self.data_dir)
        try:
            make_private(self.data_dir, self._account)
            self._lock = lock_data(self.data_dir)
            require_version(self._cluster, version_of(self._programs) if self._programs else major_version())
            make_private(self.socket_dir, self._account)
            self._bin = self._programs or programs_for(self._account)
            end_leftover_server(self._cluster, self.socket_dir)
            if not self._cluster.exists():
                is_durable = self._settings.get("fsync") != "off"
                create_cluster(self._cluster, self._bin / "initdb", self._account, is_durable=is_durable)
            self._start_after_leftovers()
            Thread(target=self._keep_running, name="embedded-postgres", daemon=True).start()
        except BaseException as error:
            self._release()
            if isinstance(error, OSError):
                raise EmbeddedPostgresError(f"The embedded PostgreSQL cannot start: {error}.") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _keep_running(self) -> None:
        """Start the server again whenever it ends without being stopped.

        Callers notice nothing if that is soon enough: the service repeats the statements that fail meanwhile.
        """
        pause_s = _FIRST_RESTART_PAUSE_S
        while (server := self._server) is not None:
            self._wait_for_end(server)
            with self._starting:
                if self._stopping:
                    return
                log.warning("PostgreSQL ended; it is started again (log: %s)", server.log)
                try:
                    # A cleaner of temporary files may have removed it.
                    make_private(self.socket_dir, self._account)
                    self._start()
                    pause_s = _FIRST_RESTART_PAUSE_S
                except (EmbeddedPostgresError, OSError) as error:
                    # Processes that the server left behind may need a moment to notice.
                    log.warning("%s", error)
                    if _NO_ROOM in str(error):
                        mark_disk_full(self.socket_dir)
                    pause_s = min(2 * pause_s, _LONGEST_RESTART_PAUSE_S)
            time.sleep(pause_s)

    def _wait_for_end(self, server: PostgresProcess) -> None:
        """Wait until `server` ends, and keep its log short.

        Stop it if its socket is gone: nobody could connect to it any more.
        """
        socket = self.socket_dir / ".s.PGSQL.5432"
        while not server.ends_within(_LOOK_INTERVAL_S):
            server.limit_log()
            # In this order: a server that is being stopped removes its socket itself. If somebody else's
            # directory has taken its place, the socket is gone too.
            if not os.access(socket, os.F_OK) and not self._stopping:
                log.warning("PostgreSQL's socket %s is gone; PostgreSQL is stopped, to make it again", socket)
                server.stop()

    def _release(self) -> None:
        with self._starting:
            self._stopping = True
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._lock is not None:
            unmark_disk_full(self.socket_dir)
            with suppress(OSError):
                self.socket_dir.rmdir()
            self._lock.close()
            self._lock = None

    def _start_after_leftovers(self) -> None:
        """Start the server once the processes of one that was killed have noticed that it is gone."""
        deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
        while True:
            try:
                return self._start()
            except EmbeddedPostgresError as error:
                if _STILL_IN_USE not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_FIRST_RESTART_PAUSE_S)

    def _start(self) -> None:
        settings = {"listen_addresses": "", "timezone": "UTC", "log_timezone": "UTC"} | self._settings
        self._server = PostgresProcess(self._bin / "postgres", self._cluster, self.socket_dir, settings, self._account)
        self._server.wait_until_ready()
        unmark_disk_full(self.socket_dir)


def _parent_of_sockets() -> Path:
    """Return the directory of temporary files that the server's account can use.

    The path of a Unix socket is limited to about 100 bytes, so the data directory may be too deep for it. So may
    TMPDIR; and that of root is private where libpam-tmpdir sets it, while the server runs as another account.
    """
    given = tempfile.gettempdir()
    is_usable = os.geteuid() != 0 and len(os.fsencode(given)) <= _LONGEST_PARENT_BYTES
    return Path(given if is_usable else "/tmp")  # noqa: S108  # Each directory in it is private.
