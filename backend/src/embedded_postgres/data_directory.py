"""The data directory of the embedded PostgreSQL: owner, lock, version, and leftovers of an earlier server."""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil
from sqlalchemy import URL

from src.embedded_postgres.programs import (
    ROOT_STATE,
    DataInUse,
    EmbeddedPostgresError,
    major_version,
    make_enterable,
    process_options,
    reason_of,
)

SUPERUSER = "postgres"
LEFTOVER_TIMEOUT_S = 30.0

# The first line of a lock file. A single-user PostgreSQL puts a minus in front.
_PID_LINE = re.compile(r"-?([1-9]\d{0,8})$", re.MULTILINE)


def default_data_dir(project: Path) -> Path:
    """Return where a checkout keeps its data: `.data` inside it, or for root a directory of its own.

    PostgreSQL refuses to run as root, so root's server runs as another account, which cannot
    enter a checkout under a private home.
    """
    if os.geteuid() != 0:
        return project / ".data"
    digest = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:12]
    return ROOT_STATE / f"{project.name}-{digest}"


def make_private(directory: Path, account: pwd.struct_passwd | None) -> None:
    """Create `directory` for the server's account alone. Raises `EmbeddedPostgresError` if it is somebody else's.

    `account` is the one that runs the server instead of root; None without root.
    """
    if account is None:
        directory.parent.mkdir(parents=True, exist_ok=True)
    else:
        make_enterable(directory.parent)
    owner = os.geteuid() if account is None else account.pw_uid
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        if directory.is_symlink() or found.st_uid != owner:
            raise EmbeddedPostgresError(
                f"{directory} belongs to another account than the embedded PostgreSQL's, which is user {owner}."
            ) from None
    else:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)


def url_of_socket(socket_dir: Path) -> URL:
    """Return where to connect to a server that listens in `socket_dir`."""
    return URL.create(
        "postgresql+psycopg2",
        username=SUPERUSER,
        database="postgres",
        # The empty ones keep PGHOSTADDR and PGOPTIONS in the environment from applying.
        query={"host": str(socket_dir), "port": "5432", "hostaddr": "", "options": ""},
    )


def url_of_running_server(data_dir: Path) -> URL:
    """Return where to connect to the server that another process runs on the data.

    Raises `EmbeddedPostgresError` if it is not running at the moment.
    """
    with suppress(OSError, ValueError):
        pid, _, _, _, socket_dir, *_ = (data_dir / "cluster" / "postmaster.pid").read_text().splitlines()
        # systemd's PrivateTmp gives a service a /tmp of its own, which root finds below /proc.
        for root in (Path("/"), Path(f"/proc/{int(pid)}/root")):
            seen = root / socket_dir.strip().lstrip("/")
            if (seen / ".s.PGSQL.5432").exists():
                return url_of_socket(seen)
    raise EmbeddedPostgresError(
        f"Another run uses the data in {data_dir}, and its PostgreSQL does not answer; try again, or stop that run."
    )


def lock_data(data_dir: Path) -> IO[str]:
    """Return the lock on the data, held until it is closed.

    Raises `DataInUse`, which names the process, if another one holds it.
    """
    lock = open(data_dir / "lock", "a+", opener=open_no_link)  # noqa: SIM115  # Kept open: it is the lock.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise DataInUse(
            f"The data in {data_dir} is in use by another run (process {holder}); "
            "stop that one first, or set DATA_DIR to keep separate data."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def open_no_link(path: str, flags: int) -> int:
    """Open a file in the data directory, whose owner must not lead root to another file."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def written_by(cluster: Path) -> str | None:
    """Return the major version of the PostgreSQL that wrote `cluster`, or None if there is no cluster.

    The text is anything if PostgreSQL did not write it.
    """
    try:
        return (cluster / "PG_VERSION").read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def is_of_other_version(written: str | None, own: str) -> bool:
    """Tell whether a cluster was `written_by` another major version of PostgreSQL than `own`."""
    # PostgreSQL itself complains of a file that holds no version.
    return written is not None and re.fullmatch(r"\d+(\.\d+)?", written) is not None and written != own


def require_version(cluster: Path, own: str) -> None:
    """Raise `EmbeddedPostgresError` for data of another major version than `own`, which PostgreSQL cannot open."""
    written = written_by(cluster)
    if not is_of_other_version(written, own):
        return
    if own == major_version():
        raise EmbeddedPostgresError(
            f"The data in {cluster.parent} was written by PostgreSQL {written}, and the embedded PostgreSQL is {own},"
            f" which cannot open it; to carry it over, run `make backup`, which runs PostgreSQL {written} once more,"
            " and then `make restore FILE=` with the file that it wrote."
        )
    raise EmbeddedPostgresError(
        f"The data in {cluster.parent} was written by PostgreSQL {written}, and the given programs are those of"
        f" PostgreSQL {own}."
    )


def create_cluster(cluster: Path, initdb: Path, account: pwd.struct_passwd | None, *, is_durable: bool) -> None:
    """Create an empty cluster next to its place and move it there, so that it exists whole or not at all.

    Raises `EmbeddedPostgresError`.
    """
    unfinished = cluster.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    done = subprocess.run(
        [
            initdb,
            *("--pgdata", unfinished, "--username", SUPERUSER, "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            "--no-instructions",
            *([] if is_durable else ["--no-sync"]),
        ],
        check=False,
        capture_output=True,
        text=True,
        **process_options(cluster.parent, account),
    )
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"PostgreSQL's initdb failed: {reason_of(done.stderr)}")
    unfinished.rename(cluster)


def end_leftover_server(cluster: Path, socket_dir: Path) -> None:
    """Stop a server whose owner was killed. The caller holds the lock on the data, so no other owner exists.

    Raises `EmbeddedPostgresError` if it still runs after 30 s.
    """
    _server_named_in(socket_dir / ".s.PGSQL.5432.lock", cluster)
    leftover = _server_named_in(cluster / "postmaster.pid", cluster)
    if leftover is None:
        return
    with suppress(psutil.NoSuchProcess):
        leftover.send_signal(signal.SIGINT)
    try:
        leftover.wait(LEFTOVER_TIMEOUT_S)
    except psutil.TimeoutExpired:
        raise EmbeddedPostgresError(
            f"An earlier PostgreSQL (process {leftover.pid}) still runs on {cluster}."
        ) from None


def _server_named_in(lock_file: Path, cluster: Path) -> psutil.Process | None:
    """Return the server that wrote `lock_file`, if it runs; remove a file that would stop a start for nothing.

    After a power loss the file may be empty, or its pid may belong to an innocent process, which PostgreSQL
    would take for a running server; it would also take a zombie for one. It removes the file of a server that
    is gone itself, once none of that server's processes uses the data any more.
    """
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        named = _PID_LINE.match(lock_file.read_text(errors="replace"))
        if named is not None and _is_server(process := psutil.Process(int(named[1])), cluster):
            return process
        lock_file.unlink()
    return None


def _is_server(process: psutil.Process, cluster: Path) -> bool:
    try:
        return str(cluster) in process.cmdline()
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return False
