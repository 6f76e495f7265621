"""One run of the program `postgres`: start, readiness, log and stop."""

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from src.embedded_postgres.data_directory import open_no_link
from src.embedded_postgres.programs import EmbeddedPostgresError, process_options, reason_of
from src.utils.processes import end_with_parent

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.01

# A longer log moves to `postgresql.log.1`, in place of the one before. While the server runs, that happens at most
# once a second, and only the newest part is kept if the log has grown by more than that part meanwhile. Together,
# the two files stay below about 2 MiB.
_LOG_MAX_BYTES = 768 * 1024
_OLD_LOG_MAX_BYTES = 1280 * 1024


class PostgresProcess:
    """A server on `cluster`, started as soon as the object is made. `settings` are `postgresql.conf` names.

    On Linux it stops when the thread that made it ends.
    """

    def __init__(
        self,
        postgres: Path,
        cluster: Path,
        socket_dir: Path,
        settings: Mapping[str, str],
        account: pwd.struct_passwd | None,
    ) -> None:
        self.log = cluster.with_name("postgresql.log")
        self._state_file = cluster / "postmaster.pid"
        self._old_log = cluster.with_name("postgresql.log.1")
        with suppress(FileNotFoundError):
            if self.log.lstat().st_size > _LOG_MAX_BYTES:
                self.log.rename(self._old_log)
        # The output of earlier servers stays: it tells why they ended.
        with open(self.log, "ab", opener=open_no_link) as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [
                    postgres,
                    *("-D", cluster, "-k", socket_dir, "-p", "5432"),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is for the owner, who stops the server last.
                start_new_session=True,
                preexec_fn=partial(end_with_parent, signal.SIGINT),  # noqa: PLW1509  # It takes no lock.
                **process_options(cluster.parent, account),
            )
        self.pid = self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until the server takes connections, for 60 s at most. Raises `EmbeddedPostgresError`."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                with open(self.log, "rb", opener=open_no_link) as log:
                    log.seek(self._log_start)
                    reason = reason_of(log.read().decode(errors="replace"))
                raise EmbeddedPostgresError(f"PostgreSQL did not start: {reason} (log: {self.log})")
            time.sleep(_POLL_INTERVAL_S)

    def _is_ready(self) -> bool:
        """Read `postmaster.pid`, whose eighth line is the server's state."""
        try:
            lines = self._state_file.read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    def ends_within(self, timeout_s: float) -> bool:
        """Wait for the end of the server, `timeout_s` at most, and tell whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
            return True
        return False

    def stop(self) -> None:
        """Stop the server, at once and without a clean shutdown if 30 s are not enough."""
        self._process.send_signal(signal.SIGINT)
        if not self.ends_within(_STOP_TIMEOUT_S):
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def limit_log(self) -> None:
        """Move a log that has become long to `postgresql.log.1`, and empty it: the server keeps it open, to append.

        PostgreSQL's own logging_collector would leave as many files as there are rotations by size, and what its
        processes say without it, at a crash for example, would still end up here.
        """
        with suppress(OSError), open(self.log, "rb+", opener=open_no_link) as log:
            size = log.seek(0, os.SEEK_END)
            if size > _LOG_MAX_BYTES:
                self._copy_end(log, size)
                log.truncate(0)

    def _copy_end(self, log: IO[bytes], size: int) -> None:
        """Copy the newest lines of `log` to the old log. If the disk is full, raise `OSError` and leave no copy."""
        self._old_log.unlink(missing_ok=True)
        log.seek(max(0, size - _OLD_LOG_MAX_BYTES))
        if log.tell() > 0:
            log.readline()
        try:
            with open(self._old_log, "xb", opener=open_no_link) as copy:
                # No more than that: in a flood, lines come faster than they are copied.
                copy.write(log.read(_OLD_LOG_MAX_BYTES))
        except OSError:
            self._old_log.unlink(missing_ok=True)
            raise
