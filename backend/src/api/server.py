"""The HTTP server, uvicorn, with a stop that serves the requests that have reached this machine."""

import asyncio
import os
import socket

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# How long an idle connection is kept. Longer than callers and balancers keep theirs (60 s at many): of
# a request that meets the end of its connection, its caller cannot know whether it was served.
KEEP_ALIVE_S = 75

_FIRST_REQUEST_TIMEOUT_S = 0.5


class PatientProtocol(HttpToolsProtocol):
    """Serves the request that is on its way on a new connection when the service stops.

    uvicorn closes every connection that has no request in hand, one included that it accepted a
    moment ago; its caller could not know whether the request was served.
    """

    def shutdown(self) -> None:
        """Close the connection, once it is idle."""
        if self.cycle is None:  # As it is before the first request, whatever its type says.
            self.loop.call_later(_FIRST_REQUEST_TIMEOUT_S, super().shutdown)  # type: ignore[unreachable]
        else:
            super().shutdown()


class PatientServer(uvicorn.Server):
    """Accepts the connections that wait in the kernel's queue when the service stops.

    To close a listening socket resets the connections in its queue. So it still does those that
    arrive between the last look into the queue and the end of the socket.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and end when what was accepted has been served."""
        queues = [socket.socket(fileno=os.dup(it.fileno())) for server in self.servers for it in server.sockets]
        for server in self.servers:
            server.close()
        for queue in queues:
            queue.setblocking(False)
            try:
                while True:
                    await self._take(queue.accept()[0])
            except BlockingIOError:
                queue.close()
        await super().shutdown(sockets)

    async def _take(self, connection: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            return PatientProtocol(self.config, self.server_state, self.lifespan.state)

        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
