"""The HTTP server: uvicorn, with a stop that serves every request that has reached the port.

When uvicorn stops, it resets the connections that the kernel has opened and it has not accepted yet. Delete
`PatientServer` once uvicorn accepts them first, or if a proxy repeats such requests.
"""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from typing import Any

import uvicorn

from config import Settings
from src.serving.connections import Connections, possible_connections
from src.serving.protocol import PatientProtocol
from src.serving.sockets import BACKLOG

# How long the kernel may take to open a connection that it has begun to open.
_HANDSHAKE_TIMEOUT_S = 0.05

# How much longer than a statement a request may take to finish when the service stops.
_SHUTDOWN_MARGIN_S = 5


class ServerConfig(uvicorn.Config):
    """How uvicorn serves `app`: an application, or for several workers its name."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(
            app,
            http=PatientProtocol,
            # No endpoint takes WebSockets, and a server may ignore an offer to upgrade.
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=round(settings.idle_timeout_s),
            # Nothing here asks for the caller's address.
            proxy_headers=False,
            timeout_graceful_shutdown=round(settings.statement_timeout_s) + _SHUTDOWN_MARGIN_S,
            **options,
        )
        self.settings = settings

    def load(self) -> None:
        """Set up what belongs to one process. Each worker calls this."""
        super().load()
        self.connections = Connections(possible_connections(self.settings))


class PatientServer(uvicorn.Server):
    """Accepts every connection that was opened before the service stops.

    Closing a listening socket resets the connections that wait to be accepted. So the kernel first refuses
    new ones while this server accepts those. A kernel that cannot refuse them still resets the connections
    that arrive between the last look into the queue and the close.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and return once every accepted request has been served."""
        queues = [socket.socket(fileno=os.dup(it.fileno())) for server in self.servers for it in server.sockets]
        for queue in queues:
            _refuse_new_connections(queue)
            queue.setblocking(False)
        for server in self.servers:
            server.close()
        await self._take_all(queues)
        await asyncio.sleep(_HANDSHAKE_TIMEOUT_S)
        await self._take_all(queues)
        for queue in queues:
            queue.close()
        await super().shutdown(sockets)

    async def _take_all(self, queues: list[socket.socket]) -> None:
        for queue in queues:
            try:
                while True:
                    await self._take(queue.accept()[0])
            except BlockingIOError:
                continue

    async def _take(self, connection: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            return PatientProtocol(self.config, self.server_state, self.lifespan.state)

        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)


def _refuse_new_connections(listener: socket.socket) -> None:
    """Have the kernel refuse new connections to `listener`. Only Linux can, from 5.7.

    This binds the socket to a network interface that does not exist, from which no packet can come.
    Open connections go on (socket(7), SO_BINDTODEVICE).
    """
    if sys.platform == "linux":
        so_bindtoifindex = 62  # <asm-generic/socket.h>
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, so_bindtoifindex, 2**31 - 1)
