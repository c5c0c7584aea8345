"""Connect to the first address of a host that answers (Happy Eyeballs, RFC 8305).

Without this, an address that does not answer uses up the time of the next one.
"""

import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple, cast

from cron_tasks.http.deadline import seconds_left

#: Seconds after which the next address is tried as well (RFC 8305, section 5).
STAGGER = 0.25


class SocketAddress(NamedTuple):
    """A socket family and an address of that family, as getaddrinfo(3) returns them."""

    family: int
    where: Any


def open_connection(host: str, port: int, until: float) -> socket.socket:
    """Return a socket connected to an address of `host`.

    `until` is on the monotonic clock, in seconds. Raises TimeoutError at `until`, and OSError.
    """
    return connect_to_first(find_addresses(host, port), until)


def find_addresses(host: str, port: int) -> list[SocketAddress]:
    """Return the addresses of `host`. Raises socket.gaierror."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [SocketAddress(each[0], each[4]) for each in found]


def alternate_families(addresses: Sequence[SocketAddress]) -> list[SocketAddress]:
    """Return the addresses in order, with the families alternating (RFC 8305, section 4)."""
    families = dict.fromkeys(each.family for each in addresses)
    lists = ([each for each in addresses if each.family == family] for family in families)
    return [each for each in chain.from_iterable(zip_longest(*lists)) if each]


def connect_to_first(addresses: Sequence[SocketAddress], until: float) -> socket.socket:
    """Return the first socket that connects, and close the others.

    An attempt starts every STAGGER seconds, or as soon as one fails. Raises TimeoutError at
    `until`, and OSError.
    """
    waiting, next_at = deque(alternate_families(addresses)), 0.0
    failure = OSError()
    with selectors.DefaultSelector() as trying:
        try:
            while waiting or trying.get_map():
                pause = seconds_left(until)
                if waiting and time.monotonic() >= next_at:
                    try:
                        _start_attempt(trying, waiting.popleft())
                    except OSError as error:
                        failure = error
                        continue
                    next_at = time.monotonic() + STAGGER
                if waiting:
                    pause = min(pause, max(0.0, next_at - time.monotonic()))
                for key, _ in trying.select(pause):
                    sock = cast(socket.socket, key.fileobj)
                    trying.unregister(sock)
                    if not (code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                        return sock
                    sock.close()
                    failure, next_at = OSError(code, os.strerror(code)), 0.0
        finally:
            for key in list(trying.get_map().values()):
                cast(socket.socket, key.fileobj).close()
    raise failure


def _start_attempt(trying: selectors.BaseSelector, address: SocketAddress) -> None:
    """Start to connect. Raises OSError if that fails immediately."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    code = sock.connect_ex(address.where)
    if code in (0, errno.EINPROGRESS):
        trying.register(sock, selectors.EVENT_WRITE)
        return
    sock.close()
    raise OSError(code, os.strerror(code))
