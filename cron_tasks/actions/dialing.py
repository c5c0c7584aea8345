"""Connect to an allowed address of a host, on the event loop.

A request is sent to the same address that was checked, so a name that resolves to another address a
moment later (DNS rebinding) has no effect. If a host has several addresses, each is tried STAGGER
seconds after the one before, or as soon as one fails (Happy Eyeballs, RFC 8305).
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from aiohappyeyeballs import start_connection

from cron_tasks.http.addresses import AddressRefused, explain_refusal, is_host_allowed
from cron_tasks.http.dialing import STAGGER

#: Seconds for which the addresses of a name are used again, as an idle connection is.
REMEMBERED = 1.0
#: The most names that are resolved at the same time. Each takes a thread until the resolver gives
#: up.
MOST_LOOKUPS = 64
#: What getaddrinfo(3) returns: family, type, protocol, canonical name, address.
_Found = tuple[int, int, int, str, Any]


class Dialer:
    """Connects to hosts, as far as the rules of HTTP_ALLOW allow it."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        self._rules = rules
        self._resolver = _Resolver()

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a socket that is connected to an allowed address of `host`.

        Raises AddressRefused if no address is allowed, and OSError.
        """
        found = await self._resolver.resolve(host, port)
        allowed = self._keep_allowed(host, found)
        return await start_connection(allowed, happy_eyeballs_delay=STAGGER, interleave=1)

    def _keep_allowed(self, host: str, found: Sequence[_Found]) -> list[_Found]:
        if is_host_allowed(host, self._rules):
            return list(found)
        reasons = [_explain_refusal(each[4][0], self._rules) for each in found]
        allowed = [each for each, why in zip(found, reasons, strict=True) if why is None]
        if not allowed:
            raise AddressRefused(reasons[0])
        return allowed


class _Resolver:
    """Resolves names in threads. One lookup serves all requests that wait for the same name."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_LOOKUPS, thread_name_prefix="resolver")
        self._lookups: dict[tuple[str, int], asyncio.Future[list[_Found]]] = {}
        self._known: dict[tuple[str, int], tuple[float, list[_Found]]] = {}

    async def resolve(self, host: str, port: int) -> list[_Found]:
        """Return the addresses of a host. Raises socket.gaierror."""
        key = (host, port)
        looked_up, found = self._known.get(key, (0.0, []))
        if time.monotonic() < looked_up + REMEMBERED:
            return found
        lookup = self._lookups.get(key)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = loop.run_in_executor(self._threads, _look_up, host, port)
            self._lookups[key] = lookup
            lookup.add_done_callback(lambda done: self._note(key, done))
        # Another request may wait for the same lookup.
        return await asyncio.shield(lookup)

    def _note(self, key: tuple[str, int], lookup: "asyncio.Future[list[_Found]]") -> None:
        del self._lookups[key]
        now = time.monotonic()
        self._known = {
            known: found for known, found in self._known.items() if now < found[0] + REMEMBERED
        }
        if not lookup.cancelled() and not lookup.exception():
            self._known[key] = (now, lookup.result())


def _look_up(host: str, port: int) -> list[_Found]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


@lru_cache(maxsize=1024)
def _explain_refusal(address: str, rules: tuple[str, ...]) -> str | None:
    return explain_refusal(ip_address(address), rules)
