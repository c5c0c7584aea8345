"""How beat waits for an edit or a poke, and asks for the syncs that pokes want.

A poke is an element of a Redis list. It is the id of a job whose row has to be read again, or `*`
for the whole list. Any number of pokes costs one sync per SYNC_EVERY seconds. The sync that follows
the last poke begins after it.
"""

import time
from collections.abc import Callable
from typing import cast

from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from cron_tasks.registry.wanted import ALL, want_rows
from cron_tasks.store import names
from cron_tasks.store.client import connect

#: Seconds from one sync that is asked for to the next.
SYNC_EVERY = 1.0
#: Seconds after which a sync is asked for again that has not begun, or that died.
ASK_AGAIN = 5.0


class Pokes:
    """The list of pokes, as the leading beat sees it. `sync` asks for a sync now.

    A beat that dies with a poke in its hands loses nothing: whichever beat leads next begins with a
    sync of the whole list, and so does this one after any trouble with Redis.
    """

    def __init__(self, url: str, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._quiet_until = self._asked_at = 0.0
        # Without retries: a repeated BLPOP would lose the poke that the first one took.
        self._redis: Redis = connect(url, retries=0)

    def close(self) -> None:
        self._redis.close()

    def sync(self) -> None:
        """Ask for a sync of the whole list."""
        self._ask(ALL)

    def _ask(self, *ids: str) -> None:
        """Ask for a sync, which does what all the pokes until now want, and reads these ids."""
        self._quiet_until = time.monotonic() + SYNC_EVERY
        self._asked_at = time.monotonic()
        want_rows(self._redis, ids)
        self._redis.delete(names.WAKE)
        self._sync()

    def ask_again(self) -> None:
        """Ask for the sync again that was asked for, if it died or its message was lost.

        It does nothing while a sync runs, or while a message waits for a worker.
        """
        if time.monotonic() < self._asked_at + ASK_AGAIN:
            return
        self._asked_at = time.monotonic()
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(names.SYNC_WANTED, names.SYNC_TAKEN)
            pipe.exists(names.SYNC_LOCK, names.SYNC_QUEUE)
            is_wanted, is_coming = pipe.execute()
        if is_wanted and not is_coming:
            self._sync()

    def wait(self, longest: float) -> bool:
        """Wait up to `longest` seconds for an edit or a poke. Return whether to look around again.

        For SYNC_EVERY seconds after a sync was asked for, pokes stay in their list.
        """
        quiet = self._quiet_until - time.monotonic()
        keys = [names.POKE, names.WAKE] if quiet <= 0 else [names.WAKE]
        timeout = max(longest if quiet <= 0 else min(quiet, longest), 0.01)
        try:
            woken = self._redis.blpop(keys, timeout=timeout)
        except (ConnectionError, TimeoutError):
            # The answer that was lost may have been a poke.
            self.sync()
            return True
        if woken and woken[0] == names.POKE:
            self._ask(cast(str, woken[1]))
        return bool(woken) or 0 < quiet < longest

    def look(self) -> None:
        """Look for pokes without waiting, but only once in SYNC_EVERY seconds."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + SYNC_EVERY
            if self._redis.exists(names.POKE):
                self._ask()
