"""Several processes that serve on one port: the supervisor's side, and each worker's."""

import logging
import multiprocessing
import os
import signal
import socket
import sys

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from config import ConfigurationError, Settings
from src.observability.metrics import DIRECTORY_VARIABLE, shared_by_workers
from src.serving.process import uvicorn_server
from src.serving.server import ServerConfig
from src.utils.processes import end_with_parent

log = logging.getLogger(__name__)

# How long a worker may say nothing before it is replaced. It answers only once it has imported
# everything, which takes time on a busy machine.
_WORKER_TIMEOUT_S = 60


def run_workers(settings: Settings, sockets: list[socket.socket]) -> None:
    """Run `settings.workers` processes that serve on `sockets`, until a signal ends this one."""
    # Each worker imports `main:app`, which reads its settings from the environment.
    os.environ["DATABASE_URL"] = settings.require_database_url().render_as_string(hide_password=False)
    with shared_by_workers():
        config = ServerConfig(
            "main:app", settings, workers=settings.workers, timeout_worker_healthcheck=_WORKER_TIMEOUT_S
        )
        supervisor = Workers(config, sockets)
        supervisor.run()
    if supervisor.has_failed:
        sys.exit(STARTUP_FAILURE)


class Workers(Multiprocess):
    """Notices at once when a worker ends.

    uvicorn pings its workers through pipes, and keeps the workers' end of each pipe open itself, so it waits
    for an answer from a dead worker until the time-out. Delete this once uvicorn closes that end.
    """

    # Whether a worker could not start, and no signal was the reason.
    has_failed = False

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._leave_pipes_to_workers()

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that have ended, or stop if one cannot start."""
        was_stopped = self.should_exit.is_set()
        super().keep_subprocess_alive()
        self.has_failed = self.should_exit.is_set() and not was_stopped and not self.signal_queue
        self._leave_pipes_to_workers()

    def _leave_pipes_to_workers(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def join_workers(settings: Settings) -> None:
    """Behave as a worker if uvicorn's supervisor has started this process. Raises `ConfigurationError`."""
    server, supervisor = uvicorn_server(), multiprocessing.parent_process()
    if server is None or supervisor is None:
        return
    # Otherwise it would keep the port when its parent is killed.
    end_with_parent(signal.SIGTERM)
    if not supervisor.is_alive():
        raise ConfigurationError("The process that started this worker is gone.")
    if server.config.workers == 1:
        # The supervisor is there to reload it.
        return
    if settings.database_url is None:
        raise ConfigurationError(
            "DATABASE_URL is not set, and several workers cannot each run the embedded PostgreSQL: set it, or run"
            " `WORKERS=2 make run`."
        )
    if DIRECTORY_VARIABLE not in os.environ:
        log.warning("/metrics shows only one worker; set %s to an empty directory", DIRECTORY_VARIABLE)
