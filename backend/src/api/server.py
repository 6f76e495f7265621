"""The HTTP server, uvicorn, with a stop that serves what has reached it."""

import asyncio
import os
import socket
import sys
from contextlib import suppress

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.supervisors import Multiprocess

# How long an idle connection is kept. Longer than callers and balancers keep theirs (60 s at many): of
# a request that meets the end of its connection, its caller cannot know whether it was served.
KEEP_ALIVE_S = 75

# How long a new connection may take to send its first request when the service stops. On a busy
# machine a caller may need some time to do so.
_FIRST_REQUEST_TIMEOUT_S = 3.0
# How long a connection may take to open, once the kernel has begun to open it.
_HANDSHAKE_TIMEOUT_S = 0.05


class PatientProtocol(HttpToolsProtocol):
    """Serves the request that is on its way on a new connection when the service stops.

    uvicorn closes every connection that has no request in hand, one included that it accepted a
    moment ago; its caller could not know whether the request was served.
    """

    _is_stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note when the connection was made."""
        self._made_at = self.loop.time()
        super().connection_made(transport)

    def on_headers_complete(self) -> None:
        """Begin to serve a request; the last one of this connection, if the service is to stop."""
        super().on_headers_complete()
        if self._is_stopping and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close the connection, once it is idle."""
        self._is_stopping = True
        # None before the first request, whatever uvicorn's annotation says.
        cycle: RequestResponseCycle | None = self.cycle
        patience_s = self._made_at + _FIRST_REQUEST_TIMEOUT_S - self.loop.time()
        if cycle is None and patience_s > 0:
            self.loop.call_later(patience_s, super().shutdown)
        else:
            super().shutdown()


class PatientServer(uvicorn.Server):
    """Accepts every connection that was opened before the service stops.

    To close a listening socket resets the connections that wait to be accepted, so new ones are refused
    while those are taken. Where the kernel cannot do so, the connections that arrive between the last
    look into the queue and the end of the socket are still reset.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and end when what was accepted has been served."""
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


class Workers(Multiprocess):
    """Notices at once when a worker ends.

    uvicorn asks its workers again and again whether they are well, and keeps the workers' end of the
    pipe for the answers open: from one that has ended it would wait for an answer until its time-out.
    """

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._leave_pipes_to_workers()

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that have ended."""
        super().keep_subprocess_alive()
        self._leave_pipes_to_workers()

    def _leave_pipes_to_workers(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def _refuse_new_connections(listener: socket.socket) -> None:
    """Have the kernel refuse new connections to `listener`, where it can: on Linux, from 5.7.

    The socket is bound to a network interface that does not exist, so that no packet comes from there.
    Connections that have begun go on (socket(7), SO_BINDTODEVICE).
    """
    if sys.platform == "linux":
        so_bindtoifindex = 62  # <asm-generic/socket.h>
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, so_bindtoifindex, 2**31 - 1)
