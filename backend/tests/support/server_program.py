"""Other projects' servers, PgBouncer for example, as processes of a test."""

import pwd
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def server_program(
    command: Sequence[str | Path],
    directory: Path,
    account: pwd.struct_passwd | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server in `directory` until the block ends, with its output in `directory`/log.

    PostgreSQL and PgBouncer refuse to run as root: for root, `account` runs them. A server that does
    not stop within 10 seconds is killed.
    """
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=log, stderr=log, **as_account(account)
        )
    try:
        yield process
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the options of `subprocess` that run a program as `account`."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
