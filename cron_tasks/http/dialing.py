"""Connect to the first allowed address of a host that answers (Happy Eyeballs, RFC 8305).

Without this, an address that does not answer uses up the time of the next one.
"""

import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from cron_tasks.http.addresses import host_allowed, refusal
from cron_tasks.http.deadline import left

#: Seconds after which the next address is tried as well (RFC 8305, section 5).
STAGGER = 0.25


class AddressRefused(Exception):
    """A job may not reach this host; the text says why."""


class Address(NamedTuple):
    """A socket family and an address of that family, as getaddrinfo(3) returns them."""

    family: int
    where: Any


def connected(host: str, port: int, rules: Sequence[str], until: float) -> socket.socket:
    """Return a socket connected to an allowed address of `host`, the very one that was checked.

    Raises AddressRefused if none is allowed, and OSError (TimeoutError at `until` on the monotonic
    clock).
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    free = host_allowed(host, rules)
    reasons = [None if free else refusal(ip_address(each[4][0]), rules) for each in found]
    allowed = [
        Address(each[0], each[4]) for each, why in zip(found, reasons, strict=True) if why is None
    ]
    if not allowed:
        raise AddressRefused(reasons[0])
    return _first_to_connect(by_turns(allowed), until)


def by_turns(addresses: Sequence[Address]) -> list[Address]:
    """Return the addresses in order, with the families alternating (RFC 8305, section 4)."""
    families = dict.fromkeys(each.family for each in addresses)
    lists = ([each for each in addresses if each.family == family] for family in families)
    return [each for each in chain.from_iterable(zip_longest(*lists)) if each]


def _first_to_connect(addresses: Iterable[Address], until: float) -> socket.socket:
    """Start an attempt every STAGGER seconds, or as soon as one fails. Close the losers."""
    waiting, next_at = deque(addresses), 0.0
    failure = OSError()
    with selectors.DefaultSelector() as trying:
        try:
            while waiting or trying.get_map():
                pause = left(until)
                if waiting and time.monotonic() >= next_at:
                    try:
                        _begin(trying, waiting.popleft())
                    except OSError as error:
                        failure = error
                        continue
                    next_at = time.monotonic() + STAGGER
                if waiting:
                    pause = min(pause, max(0.0, next_at - time.monotonic()))
                for key, _ in trying.select(pause):
                    sock: Any = key.fileobj
                    trying.unregister(sock)
                    if not (code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                        return sock  # type: ignore[no-any-return]
                    sock.close()
                    failure, next_at = OSError(code, os.strerror(code)), 0.0
        finally:
            for key in list(trying.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
    raise failure


def _begin(trying: selectors.BaseSelector, address: Address) -> None:
    """Start to connect. Raises OSError if that fails at once."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    code = sock.connect_ex(address.where)
    if code in (0, errno.EINPROGRESS):
        trying.register(sock, selectors.EVENT_WRITE)
        return
    sock.close()
    raise OSError(code, os.strerror(code))
