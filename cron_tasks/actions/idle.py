"""Connections that are kept for the next request to the same place."""

import asyncio
import resource
import select
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

#: Seconds that an idle connection is kept. Servers close theirs after 2 s (gunicorn) or more.
IDLE = 1.0
#: The most connections that are kept, unless the process may have few descriptors: one in eight.
MOST_IDLE = 1024
#: Seconds after an answer in which bytes that do not belong to it may still be in transit.
SETTLE = 0.001


class Idle(Protocol):
    """A connection that is kept."""

    idle_since: float

    @property
    def is_open(self) -> bool: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


Place = TypeVar("Place")
Kept = TypeVar("Kept", bound=Idle)


class IdleConnections(Generic[Place, Kept]):
    """The idle connections of one event loop, by place, the longest idle first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Place, deque[Kept]] = {}
        self._count = 0
        self._tidied = 0.0

    def put(self, place: Place, connection: Kept) -> None:
        """Keep a connection, and close those that nobody has needed."""
        now = connection.idle_since = time.monotonic()
        if now > self._tidied + IDLE:
            self._tidied = now
            self._tidy(now)
        if self._count >= self._most:
            connection.close()
            return
        self._kept.setdefault(place, deque()).append(connection)
        self._count += 1

    async def take(self, place: Place) -> Kept | None:
        """Return a connection that can be used, or None."""
        kept = self._kept.get(place)
        while kept:
            now = time.monotonic()
            # The last one is most likely still open. It must not be too fresh.
            is_settled = now >= kept[-1].idle_since + SETTLE
            connection = kept.pop() if is_settled else kept.popleft()
            self._count -= 1
            wait = connection.idle_since + SETTLE - now
            if wait > 0:
                try:
                    await asyncio.sleep(wait)
                except asyncio.CancelledError:
                    connection.close()
                    raise
            if now < connection.idle_since + IDLE and _is_quiet(connection):
                return connection
            connection.close()
        return None

    def _tidy(self, now: float) -> None:
        for kept in self._kept.values():
            while kept and now > kept[0].idle_since + IDLE:
                kept.popleft().close()
        self._kept = {place: kept for place, kept in self._kept.items() if kept}
        self._count = sum(map(len, self._kept.values()))


def most_idle() -> int:
    """Return how many idle connections this process may keep."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_IDLE if soft == resource.RLIM_INFINITY else min(MOST_IDLE, soft // 8)


def _is_quiet(connection: Idle) -> bool:
    """Return whether a connection is open, and has no bytes that belong to no request."""
    if not connection.is_open:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
