"""Waits for an edit or a poke, and requests the sync that a poke asks for.

A poke is an element of a Redis list. It asks beat to have the REST service's list read again. Any
number of pokes costs one sync per SYNC_EVERY seconds. A sync that begins after the last poke
always follows.
"""

import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from cron_tasks.store import keys
from cron_tasks.store.client import connect

#: Seconds from one sync that is requested to the next.
SYNC_EVERY = 1.0


class Pokes:
    """The list of pokes, as the leading beat sees it. `send_request` requests a sync now.

    A beat that takes a poke and dies loses nothing: the beat that leads next begins with a sync,
    and so does this one after any trouble with Redis.
    """

    def __init__(self, url: str, send_request: Callable[[], None]) -> None:
        self._send_request = send_request
        self._quiet_until = 0.0
        # Without retries: a repeated BLPOP would lose the poke that the first one took.
        self._redis: Redis = connect(url, retries=0)

    def close(self) -> None:
        self._redis.close()

    def request_sync(self) -> None:
        """Request a sync, which serves all the pokes until now."""
        self._quiet_until = time.monotonic() + SYNC_EVERY
        self._redis.delete(keys.POKE, keys.WAKE)
        self._send_request()

    def wait(self, longest: float) -> bool:
        """Wait up to `longest` seconds for an edit or a poke. Return whether to look again.

        For SYNC_EVERY seconds after a sync was requested, pokes stay in their list.
        """
        quiet = self._quiet_until - time.monotonic()
        lists = [keys.POKE, keys.WAKE] if quiet <= 0 else [keys.WAKE]
        timeout = max(longest if quiet <= 0 else min(quiet, longest), 0.01)
        try:
            woken = self._redis.blpop(lists, timeout=timeout)
        except (ConnectionError, TimeoutError):
            # The reply that was lost may have been a poke.
            self.request_sync()
            return True
        if woken and woken[0] == keys.POKE:
            self.request_sync()
        return bool(woken) or 0 < quiet < longest

    def check(self) -> None:
        """Look for pokes without waiting, at most once in SYNC_EVERY seconds."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + SYNC_EVERY
            if self._redis.exists(keys.POKE):
                self.request_sync()
