"""Connect to a host with several addresses, some of which are dead."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

import psutil
import pytest
import requests
from helpers import wait_until
from rest_server import RestServer

from cron_tasks.http.adapter import LimitedAdapter
from cron_tasks.http.dialing import (
    STAGGER,
    AddressRefused,
    SocketAddress,
    alternate_families,
    open_connection,
)

Resolve = Callable[..., None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Resolve every name to these addresses, in this order."""
    real = socket.getaddrinfo

    def answer(*addresses: str) -> None:
        def lookup(_: Any, port: Any, *__: Any, **___: Any) -> Any:
            return [it for each in addresses for it in real(each, port, type=socket.SOCK_STREAM)]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)

    return answer


@pytest.fixture
def dead(rest: RestServer) -> Iterator[str]:
    """Return an address that does not answer at the port of `rest`, since its backlog is full."""
    address = ("127.0.0.2", rest.port)
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(address, backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket(server.family))
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address[0]


def connect(rest: RestServer, seconds: float = 5, rules: tuple[str, ...] = ("127.0.0.0/8",)) -> str:
    """Return the address that was reached."""
    with open_connection("name.test", rest.port, rules, time.monotonic() + seconds) as sock:
        return str(sock.getpeername()[0])


@pytest.mark.parametrize("others", [1, 3])
def test_a_dead_first_address_costs_a_moment(
    rest: RestServer, resolve: Resolve, dead: str, others: int
) -> None:
    resolve(*[dead] * others, "127.0.0.1")
    process = psutil.Process()
    begun, before = time.monotonic(), process.num_fds()
    assert connect(rest, seconds=20) == "127.0.0.1"
    assert STAGGER * others <= time.monotonic() - begun < STAGGER * others + 2
    wait_until(lambda: process.num_fds() <= before, "the other attempts to be closed")


def test_a_session_tries_the_next_address(rest: RestServer, resolve: Resolve, dead: str) -> None:
    """The REST service and Telegram are read through this adapter.

    It overrides `_new_conn` of urllib3, which is not public.
    """
    assert version("urllib3").startswith("2.")
    resolve(dead, "127.0.0.1")
    with requests.Session() as session:
        session.mount("http://", LimitedAdapter(lambda: time.monotonic() + 20))
        begun = time.monotonic()
        assert session.get(f"http://name.test:{rest.port}/", timeout=20).status_code == 404
        assert time.monotonic() - begun < 10
        resolve("127.0.0.3")
        with pytest.raises(requests.ConnectionError, match="refused"):
            session.get(f"http://other.test:{rest.port}/", timeout=20)
        resolve(dead)
        with pytest.raises(requests.ConnectTimeout, match="timed out"):
            session.get(f"http://third.test:{rest.port}/", timeout=0.4)


def test_a_slow_address_may_still_win(rest: RestServer, resolve: Resolve, dead: str) -> None:
    resolve("127.0.0.1", dead)
    begun = time.monotonic()
    assert connect(rest) == "127.0.0.1"
    assert time.monotonic() - begun < STAGGER


def test_addresses_that_refuse_cost_nothing(rest: RestServer, resolve: Resolve) -> None:
    resolve("127.0.0.3", "255.255.255.255", "127.0.0.4", "127.0.0.1")
    begun = time.monotonic()
    assert connect(rest, rules=("127.0.0.0/8", "240.0.0.0/4")) == "127.0.0.1"
    assert time.monotonic() - begun < STAGGER


def test_no_address_connects(rest: RestServer, resolve: Resolve, dead: str) -> None:
    resolve("127.0.0.3", "127.0.0.4")
    with pytest.raises(ConnectionRefusedError):
        connect(rest)
    resolve(dead, dead)
    process = psutil.Process()
    begun, before = time.monotonic(), process.num_fds()
    with pytest.raises(TimeoutError):
        connect(rest, seconds=0.4)
    assert 0.4 <= time.monotonic() - begun < 2
    wait_until(lambda: process.num_fds() <= before, "both attempts to be closed")


def test_each_address_is_checked(rest: RestServer, resolve: Resolve, dead: str) -> None:
    resolve("127.0.0.1", dead)
    with pytest.raises(TimeoutError):
        connect(rest, seconds=0.4, rules=(f"{dead}/32",))
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1 is a loopback address"):
        connect(rest, rules=("10.0.0.0/8",))


def test_families_alternate() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    given = [
        SocketAddress(six, 1),
        SocketAddress(six, 2),
        SocketAddress(six, 3),
        SocketAddress(four, 4),
        SocketAddress(four, 5),
    ]
    assert [each.where for each in alternate_families(given)] == [1, 4, 2, 5, 3]
