"""Connect to a host with several addresses, some of which are dead."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

import psutil
import pytest
import requests
from helpers import PATIENCE, event_loop, wait_until
from rest_server import RestServer

from cron_tasks.actions.dialing import Dialer
from cron_tasks.http.adapter import LimitedAdapter
from cron_tasks.http.addresses import AddressRefused
from cron_tasks.http.dialing import STAGGER, SocketAddress, alternate_families, open_connection
from cron_tasks.http.pings import send_ping

#: Seconds. uvloop counts in milliseconds and rounds down, so its timers may end this much early.
EARLY = 0.01

Resolve = Callable[..., None]
Connect = Callable[..., str]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Resolve every name to these addresses, in this order."""
    real = socket.getaddrinfo
    event_loop()  # It opens descriptors of its own.

    def answer(*addresses: str) -> None:
        def lookup(_: Any, port: Any, *__: Any, **___: Any) -> Any:
            return [it for each in addresses for it in real(each, port, type=socket.SOCK_STREAM)]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)

    return answer


@pytest.fixture
def dead(rest: RestServer) -> Iterator[str]:
    """Return an address that does not answer at the port of `rest`, because its backlog is full."""
    address = ("127.0.0.2", rest.port)
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(address, backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket(server.family))
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address[0]


def connect_action(rest: RestServer, seconds: float, rules: tuple[str, ...]) -> socket.socket:
    async def dial() -> socket.socket:
        async with asyncio.timeout(seconds):
            return await Dialer(rules).connect("name.test", rest.port)

    return event_loop().run(dial())


def connect_session(rest: RestServer, seconds: float, _: tuple[str, ...]) -> socket.socket:
    return open_connection("name.test", rest.port, time.monotonic() + seconds)


@pytest.fixture(params=[connect_action, connect_session])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connect like an action, and like a session. Return the reached address."""

    def run(
        rest: RestServer, seconds: float = PATIENCE, rules: tuple[str, ...] = ("127.0.0.0/8",)
    ) -> str:
        with request.param(rest, seconds, rules) as sock:
            return str(sock.getpeername()[0])

    return run


@pytest.fixture
def stagger(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the seconds between two attempts."""

    def change(seconds: float) -> None:
        monkeypatch.setattr("cron_tasks.http.dialing.STAGGER", seconds)
        monkeypatch.setattr("cron_tasks.actions.dialing.STAGGER", seconds)

    return change


@pytest.mark.parametrize("others", [1, 3])
def test_a_dead_first_address_costs_a_moment(
    connect: Connect, rest: RestServer, resolve: Resolve, dead: str, others: int
) -> None:
    resolve(*[dead] * others, "127.0.0.1")
    process = psutil.Process()
    begun, before = time.monotonic(), process.num_fds()
    assert connect(rest, seconds=20) == "127.0.0.1"
    assert STAGGER * others - EARLY < time.monotonic() - begun < 20
    wait_until(lambda: process.num_fds() <= before, "the other attempts to be closed")


def test_a_session_tries_the_next_address(rest: RestServer, resolve: Resolve, dead: str) -> None:
    """The clients of the REST service and of Telegram use this adapter.

    It overrides `_new_conn` of urllib3, which is not public.
    """
    assert version("urllib3").startswith("2.")
    resolve(dead, "127.0.0.1")
    with requests.Session() as session:
        session.mount("http://", LimitedAdapter(lambda: time.monotonic() + 20))
        assert session.get(f"http://name.test:{rest.port}/", timeout=20).status_code == 404
        resolve("127.0.0.3")
        with pytest.raises(requests.ConnectionError, match="refused"):
            session.get(f"http://other.test:{rest.port}/", timeout=20)
        resolve(dead)
        with pytest.raises(requests.ConnectTimeout, match="timed out"):
            session.get(f"http://third.test:{rest.port}/", timeout=0.4)


def test_a_ping_tries_the_next_address(rest: RestServer, resolve: Resolve, dead: str) -> None:
    resolve(dead, dead, "127.0.0.1")
    begun = time.monotonic()
    why = send_ping(f"http://name.test:{rest.port}/", "GET", ("127.0.0.0/8",), 60)
    assert why == "answered 404 Not Found"
    assert time.monotonic() - begun < 20
    rules = (f"{dead}/32",)
    assert send_ping(f"http://name.test:{rest.port}/", "GET", rules, 0.4) == (
        "no answer within 0.4 s"
    )


def test_a_slow_address_may_still_win(
    connect: Connect,
    rest: RestServer,
    resolve: Resolve,
    dead: str,
    stagger: Callable[[float], None],
) -> None:
    stagger(60)
    resolve("127.0.0.1", dead)
    assert connect(rest, seconds=20) == "127.0.0.1"


def test_addresses_that_refuse_cost_nothing(
    connect: Connect, rest: RestServer, resolve: Resolve, stagger: Callable[[float], None]
) -> None:
    stagger(60)
    resolve("127.0.0.3", "255.255.255.255", "127.0.0.4", "127.0.0.1")
    assert connect(rest, seconds=20, rules=("127.0.0.0/8", "240.0.0.0/4")) == "127.0.0.1"


def test_no_address_connects(
    connect: Connect, rest: RestServer, resolve: Resolve, dead: str
) -> None:
    resolve("127.0.0.3", "127.0.0.4")
    with pytest.raises(ConnectionRefusedError):
        connect(rest)
    resolve(dead, dead)
    process = psutil.Process()
    begun, before = time.monotonic(), process.num_fds()
    with pytest.raises(TimeoutError):
        connect(rest, seconds=0.4)
    assert 0.4 - EARLY < time.monotonic() - begun < PATIENCE
    wait_until(lambda: process.num_fds() <= before, "both attempts to be closed")


def test_each_address_is_checked(rest: RestServer, resolve: Resolve, dead: str) -> None:
    resolve("127.0.0.1", dead)
    with pytest.raises(TimeoutError):
        connect_action(rest, 0.4, (f"{dead}/32",))
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1 is a loopback address"):
        connect_action(rest, PATIENCE, ("10.0.0.0/8",))


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


def test_the_other_family_comes_second(
    connect: Connect,
    rest: RestServer,
    resolve: Resolve,
    dead: str,
    stagger: Callable[[float], None],
) -> None:
    """The second address to be tried is the first one of the other family (RFC 8305, section 4).

    All but the first of the one family would connect.
    """
    with socket.create_server(("::1", rest.port), family=socket.AF_INET6):
        resolve(dead, *["127.0.0.1"] * 3, "::1")
        stagger(2)
        begun = time.monotonic()
        assert connect(rest, rules=("127.0.0.0/8", "::1/128")) == "::1"
        assert time.monotonic() - begun > 2 - EARLY


def test_a_name_that_is_not_resolved_holds_back_no_other(
    rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to it share one lookup, and end by their own deadline."""
    over, lookups = threading.Event(), list[str]()
    real = socket.getaddrinfo

    def lookup(host: str, *rest: Any, **more: Any) -> Any:
        lookups.append(host)
        if host == "hangs.test":
            over.wait(PATIENCE)
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    async def dial_all() -> list[Any]:
        dialer = Dialer(("*",))

        async def dial(host: str, seconds: float) -> str:
            async with asyncio.timeout(seconds):
                (await dialer.connect(host, rest.port)).close()
                return "connected"

        names = [("hangs.test", 0.5)] * 100 + [("name.test", PATIENCE)]
        ended = asyncio.gather(*(dial(*each) for each in names), return_exceptions=True)
        return await ended

    try:
        *hanging, other = event_loop().run(dial_all())
    finally:
        over.set()
    assert other == "connected"
    assert {type(each) for each in hanging} == {TimeoutError}
    assert lookups == ["hangs.test", "name.test"]
