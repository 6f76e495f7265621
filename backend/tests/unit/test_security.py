"""TrustedHosts: which values of the header Host are accepted."""

import socket

import pytest
from starlette.types import Receive, Scope, Send

from src.api.security import TrustedHosts


async def is_answered(
    host: str | None, server: tuple[str, int | None] | None, hosts: tuple[str, ...] = (), path: str = "/tasks"
) -> bool:
    """Tell whether a request for `host` that arrives at the address `server` reaches the application."""
    reached = False

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal reached
        reached = True

    async def nothing(*_: object) -> None:
        pass

    headers = [(b"accept", b"*/*")] + ([] if host is None else [(b"host", host.encode("latin-1"))])
    scope = {"type": "http", "path": path, "server": server, "headers": headers}
    trusted = TrustedHosts(application, hosts)
    # The second answer comes from the cache.
    for _ in range(2):
        reached = False
        await trusted(scope, nothing, nothing)  # type: ignore[arg-type]  # Nothing is received.
    return reached


@pytest.mark.parametrize("server", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "tasks.localhost:8000",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.1.2.3:8000",
        "[::1]",
        "[::1]:8000",
        "::1",
        "0.0.0.0:8000",
        "[::]:8000",
        socket.gethostname(),
        f"{socket.gethostname().upper()}:8000",
    ],
)
async def test_on_loopback_the_names_of_this_machine_are_accepted(host: str, server: str) -> None:
    assert await is_answered(host, (server, 8000))


@pytest.mark.parametrize("server", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "evillocalhost",
        "127.0.0.1.evil.example",
        "10.0.0.7:8000",
        "[::2]:8000",
        "localhost:evil",
        "\xff",
        "",
        None,
    ],
)
async def test_on_loopback_every_other_host_is_refused(host: str | None, server: str) -> None:
    assert not await is_answered(host, (server, 8000))


@pytest.mark.parametrize(
    "server", [("10.0.0.7", 8000), ("2001:db8::7", 8000), ("testserver", 80), ("/run/tasks.sock", None), None]
)
async def test_beyond_loopback_any_host_is_accepted(server: tuple[str, int | None] | None) -> None:
    assert await is_answered("tasks.example", server)


@pytest.mark.parametrize("server", ["127.0.0.1", "10.0.0.7"])
async def test_with_a_list_only_the_listed_hosts_are_accepted(server: str) -> None:
    hosts = ("tasks.example", "[::1]")
    for host in ("tasks.example", "TASKS.example:8000", "[::1]:8000"):
        assert await is_answered(host, (server, 8000), hosts)
    for host in ("localhost", "127.0.0.1:8000", "other.example", ""):
        assert not await is_answered(host, (server, 8000), hosts)


async def test_probes_may_name_any_host() -> None:
    assert await is_answered("10.0.0.7", ("127.0.0.1", 8000), path="/health")
