"""Waits for an edit or a poke, and requests the sync that a poke asks for.

A poke is an element of a Redis list. It is the id of a job whose row has to be read again, or `*`
for the whole list. Any number of pokes costs one sync per SYNC_EVERY seconds. A sync that begins
after the last poke always follows.
"""

import time
from collections.abc import Callable, Iterable
from typing import cast

from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from cron_tasks.registry.wanted import ALL, want_rows
from cron_tasks.store import keys
from cron_tasks.store.client import connect

#: Seconds from one sync that is requested to the next.
SYNC_EVERY = 1.0
#: Seconds after which a sync is requested again that has not begun, or that died.
REQUEST_AGAIN = 5.0


class Pokes:
    """The list of pokes, as the leading beat sees it. `send_request` requests a sync now.

    A beat that takes a poke and dies loses nothing: the beat that leads next begins with a sync of
    the whole list, and so does this one after any trouble with Redis.
    """

    def __init__(self, url: str, send_request: Callable[[], None]) -> None:
        self._send_request = send_request
        self._quiet_until = self._requested_at = 0.0
        # Without retries: a repeated BLPOP would lose the poke that the first one took.
        self._redis: Redis = connect(url, retries=0)

    def close(self) -> None:
        self._redis.close()

    def request_sync(self, *ids: str) -> None:
        """Request a sync, which serves all the pokes until now, and reads these rows.

        Without `ids` it reads the whole list.
        """
        self._serve_pokes(ids or (ALL,))

    def _serve_pokes(self, ids: Iterable[str] = ()) -> None:
        self._quiet_until = time.monotonic() + SYNC_EVERY
        self._requested_at = time.monotonic()
        want_rows(self._redis, ids)
        self._redis.delete(keys.WAKE)
        self._send_request()

    def request_again(self) -> None:
        """Request the sync again that was requested, if it died or its message was lost.

        Does nothing while a sync runs, or while a message waits for a worker.
        """
        if time.monotonic() < self._requested_at + REQUEST_AGAIN:
            return
        self._requested_at = time.monotonic()
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(keys.SYNC_WANTED, keys.SYNC_TAKEN)
            pipe.exists(keys.SYNC_LOCK, keys.SYNC_QUEUE)
            is_wanted, is_coming = pipe.execute()
        if is_wanted and not is_coming:
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
            self.request_sync(cast("str", woken[1]))
        return bool(woken) or 0 < quiet < longest

    def check(self) -> None:
        """Look for pokes without waiting, at most once in SYNC_EVERY seconds."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + SYNC_EVERY
            if self._redis.exists(keys.POKE):
                self._serve_pokes()
