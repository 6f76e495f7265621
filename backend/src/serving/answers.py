"""Answers that leave the process whole.

uvicorn writes the head of an answer and its body one after the other. A process that is killed between the two
leaves its caller with half an answer, and a load balancer cannot repeat a request whose answer has begun.
One write is also cheaper than two. Delete this once uvicorn writes both together.
"""

import asyncio


class WholeAnswer:
    """The connection, as far as one answer needs it. Holds the head back until the first part of the body."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Write `data`, after the head if that is still here."""
        if self._is_begun:
            head, self._head = self._head, None
            self._transport.write(data if head is None else head + data)
        elif data.startswith(b"HTTP/1.1 100 "):
            # The caller waits for this before it sends its body.
            self._transport.write(data)
        else:
            self._is_begun, self._head = True, data

    def flush(self) -> None:
        """Write the head, if it is still here: the answer has no body."""
        head, self._head = self._head, None
        if head is not None:
            self._transport.write(head)

    def close(self) -> None:
        """Close the connection after what was written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is about to end."""
        return self._transport.is_closing()
