"""Waits for an edit or a poke, and requests the sync that a poke asks for.

A poke is an element of a Redis list: the id of a job whose row has to be read again, or `*` for the
whole list. One or two pokes take effect at once. A flood of them costs one sync every SYNC_EVERY
seconds, and so does the whole list. A sync always begins after the last poke.
"""

import time
from collections.abc import Callable, Iterable
from typing import cast

from redis import Redis
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from cron_tasks.registry.wanted import ALL, want_rows
from cron_tasks.store import keys
from cron_tasks.store.client import connect

#: Seconds between two requested syncs of the whole list.
SYNC_EVERY = 1.0
#: The shortest time between two syncs of a few rows, in seconds.
ROWS_EVERY = 0.05
#: More pokes than this are a flood.
FEW = 2
#: Seconds after which a sync that has not begun, or that died, is requested again.
REQUEST_AGAIN = 5.0


class Pokes:
    """The list of pokes, as the leading beat sees it. `send_request` requests a sync now.

    If a beat takes a poke and dies, nothing is lost: the next leader begins with a sync of the
    whole list. So does this beat after any trouble with Redis.
    """

    def __init__(self, url: str, send_request: Callable[[], None]) -> None:
        self._send_request = send_request
        self._quiet_until = self._requested_at = self._served_at = 0.0
        self._quiet = ROWS_EVERY
        # No retries: a repeated BLPOP would lose the poke that the first one took.
        self._redis: Redis = connect(url, retries=0)

    def close(self) -> None:
        self._redis.close()

    def request_sync(self, *ids: str) -> None:
        """Request a sync that serves all the pokes until now, and reads these rows.

        Without `ids` it reads the whole list.
        """
        self._serve_pokes(ids or (ALL,))

    def _serve_pokes(self, ids: Iterable[str] = ()) -> None:
        now = time.monotonic()
        follows_soon = now < self._served_at + 2 * self._quiet
        self._quiet = min(2 * self._quiet, SYNC_EVERY) if follows_soon else ROWS_EVERY
        if want_rows(self._redis, ids) > FEW:
            self._quiet = SYNC_EVERY
        self._served_at = self._requested_at = now
        self._quiet_until = now + self._quiet
        self._redis.delete(keys.WAKE)
        self._send_request()

    def request_again(self) -> None:
        """Request a sync again if the sync died or its message was lost.

        If no process follows the feed, also request a sync that reads nothing: the process that
        gets the message then follows. Does nothing while a sync runs, or while a message waits for
        a worker.
        """
        if time.monotonic() < self._requested_at + REQUEST_AGAIN:
            return
        self._requested_at = time.monotonic()
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(keys.SYNC_WANTED, keys.SYNC_TAKEN)
            pipe.exists(keys.SYNC_LOCK, keys.SYNC_QUEUE)
            pipe.hget(keys.SOURCE, "feed")
            pipe.exists(keys.FEED_LOCK)
            is_wanted, is_coming, has_feed, is_followed = pipe.execute()
        if (is_wanted or (has_feed and not is_followed)) and not is_coming:
            self._send_request()

    def wait(self, longest: float) -> bool:
        """Wait up to `longest` seconds for an edit or a poke. Return whether to check the schedule
        again.

        For a moment after a sync was requested, pokes stay in their list.
        """
        self._notice_flood()
        quiet = self._quiet_until - time.monotonic()
        lists = [keys.POKE, keys.WAKE] if quiet <= 0 else [keys.WAKE]
        timeout = max(longest if quiet <= 0 else min(quiet, longest), 0.01)
        try:
            woken = self._redis.blpop(lists, timeout=timeout)
        except (ConnectionError, TimeoutError):
            # The lost reply may have been a poke.
            self.request_sync()
            return True
        if woken and woken[0] == keys.POKE:
            self.request_sync(cast("str", woken[1]))
        return bool(woken) or 0 < quiet < longest

    def _notice_flood(self) -> None:
        """Delay the next pokes if many have come since a few were served."""
        next_list = self._served_at + SYNC_EVERY
        if self._quiet_until <= time.monotonic() < next_list and self._count_pokes() > FEW:
            self._quiet_until = next_list

    def _count_pokes(self) -> int:
        try:
            return self._redis.llen(keys.POKE)
        except ResponseError:  # The key has another type. Serving it deletes it.
            return 1

    def check(self) -> None:
        """Check for pokes without waiting, at most once in ROWS_EVERY seconds."""
        self._notice_flood()
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + ROWS_EVERY
            if self._count_pokes():
                self._serve_pokes()
