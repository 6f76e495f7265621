"""The application behind a real HTTP server, on a thread of the test's own process."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from config import Settings
from src.database.database import Database
from src.serving.server import ServerConfig
from tests.support.waiting import wait_until


@contextmanager
def serve(app: FastAPI, **limits: Any) -> Iterator[tuple[FastAPI, str]]:
    """Serve `app` with the given settings for its connections; yield the application and its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = ServerConfig(app, Settings(_env_file=None, **limits))
    server = uvicorn.Server(config)
    runner = asyncio.Runner(loop_factory=config.get_loop_factory())

    def run() -> None:
        with runner:
            runner.run(server.serve([listener]))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    app.state.loop = runner.get_loop()
    try:
        yield app, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def close_database(database: Database, app: FastAPI) -> None:
    """Close what `app` has used, on its event loop, which watches the connections."""

    async def on_loop() -> None:
        database.close()

    asyncio.run_coroutine_threadsafe(on_loop(), app.state.loop).result()
