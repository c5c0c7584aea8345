"""How beat waits for an edit or a poke, and asks for the syncs that pokes want.

A poke is an element of a Redis list, and means: read the REST service's list again. Any number of
pokes costs one sync per SYNC_EVERY seconds. The sync that follows the last poke begins after it.
"""

import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from cron_tasks.store import names
from cron_tasks.store.client import connect

#: Seconds from one sync that is asked for to the next.
SYNC_EVERY = 1.0


class Pokes:
    """The list of pokes, as the leading beat sees it. `sync` asks for a sync now.

    A beat that dies with a poke in its hands loses nothing: whichever beat leads next begins with a
    sync, and so does this one after any trouble with Redis.
    """

    def __init__(self, url: str, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._quiet_until = 0.0
        # Without retries: a repeated BLPOP would lose the poke that the first one took.
        self._redis: Redis = connect(url, retries=0)

    def close(self) -> None:
        self._redis.close()

    def sync(self) -> None:
        """Ask for a sync, which does what all the pokes until now want."""
        self._quiet_until = time.monotonic() + SYNC_EVERY
        self._redis.delete(names.POKE, names.WAKE)
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
            self.sync()
        return bool(woken) or 0 < quiet < longest

    def look(self) -> None:
        """Look for pokes without waiting, but only once in SYNC_EVERY seconds."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + SYNC_EVERY
            if self._redis.exists(names.POKE):
                self.sync()
