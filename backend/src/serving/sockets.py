"""The port that the service listens on.

uvicorn binds it only after the application has started, and for workers at one address only. Delete this
if a start may migrate a database before it finds its port taken.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any

from config import ConfigurationError

# How many connections may wait to be accepted. uvicorn's default.
BACKLOG = 2048

# Even on machines without IPv6, `localhost` may have an IPv6 address.
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@contextmanager
def bound_sockets(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Take the port on every address of `host` until the block is left. Nobody can connect before `listen`.

    Raises `ConfigurationError`.
    """
    with ExitStack() as stack:
        with _failures_that_name(host, port):
            sockets = [stack.enter_context(it) for it in _bind_all(host, port)]
        yield sockets


def listen(sockets: list[socket.socket], host: str, port: int) -> None:
    """Let callers connect. Raises `ConfigurationError` if another program was faster."""
    with _failures_that_name(host, port):
        for each in sockets:
            each.listen(BACKLOG)


def is_loopback(host: str) -> bool:
    """Whether `host` is an address that only this machine reaches. A name never is."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _bind_all(host: str, port: int) -> Iterator[socket.socket]:
    found = dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    unusable = []
    for family, kind, protocol, _, address in found:
        try:
            bound = _bind(family, kind, protocol, address)
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise
            unusable.append(error)
        else:
            yield bound
    if len(unusable) == len(found):
        raise unusable[0]


def _bind(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


@contextmanager
def _failures_that_name(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sentence = f"Port {port} of {host} is in use by another program; stop that one, or set PORT to a free one."
        else:
            sentence = f"The service cannot listen on port {port} of {host}: {error.strerror}."
        raise ConfigurationError(sentence) from error
    except UnicodeError as error:
        raise ConfigurationError(f"HOST: {host} is not the name of a host.") from error
