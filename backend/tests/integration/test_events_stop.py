"""A stop of the service ends streams with their proper end, so their callers come back to another process."""

import signal
import sys
from contextlib import ExitStack

import pytest
from sqlalchemy import URL

from tests.support.client import Api
from tests.support.databases import environment_of
from tests.support.event_stream import watch
from tests.support.service import MAIN, running

UVICORN = [sys.executable, "-m", "uvicorn", "main:app"]
STREAMS = 8


@pytest.mark.parametrize(
    ("command", "workers", "how"),
    [
        (MAIN, "1", signal.SIGTERM),
        (MAIN, "1", signal.SIGINT),
        (MAIN, "2", signal.SIGTERM),
        (UVICORN, "1", signal.SIGTERM),
        ([*UVICORN, "--workers", "2"], "2", signal.SIGTERM),
    ],
)
def test_a_stop_ends_streams(database_url: URL, command: list[str], workers: str, how: signal.Signals) -> None:
    url = environment_of(database_url)
    with running(command, DATABASE_URL=url, WORKERS=workers) as (service, api), ExitStack() as stack:
        service.wait_for("Application startup complete", times=int(workers))
        # A new connection for each, so every worker gets some.
        clients = [stack.enter_context(Api(str(api.base_url))) for _ in range(STREAMS)]
        streams = [stack.enter_context(watch(client)) for client in clients]
        api.create_task()
        for stream in streams:
            stream.take()
        status = service.stop(how)
        for stream in streams:
            assert stream.rest() == []
    # uvicorn's own command ends by the signal that it was sent.
    assert status == 0 or command[:4] == UVICORN
    for trouble in ("Traceback", "Cancel", "timeout graceful shutdown exceeded"):
        assert trouble not in service.output
