"""The rows that the next sync has to read, stored in Redis until a sync has read them.

A process that wants a sync stores its request, and then tries to get the lock of the sync. The
holder of that lock takes the request, reads the rows, and checks for another request. So a request
that comes during a read leads to another read, and the next sync reads the rows that a sync had
taken when it died.
"""

from collections.abc import Collection, Iterable
from typing import cast

from redis import Redis

from cron_tasks.jobs.row import row_id
from cron_tasks.registry.fence import Fence
from cron_tasks.store import keys
from cron_tasks.store.scripts import Script, script

#: All rows: this takes the place of an id.
ALL = "*"
#: The most rows that are read one by one. Reading more of them costs as much as the list.
MOST_ROWS = 200
#: Seconds for which a request is kept. A sync reads the whole list long before that.
KEPT = 86_400

_want: Script[int] = script("registry/want")
_take = script("registry/take")
_settle = script("registry/settle")


def want_rows(redis: Redis, ids: Iterable[str]) -> int:
    """Request a read of the rows with these ids, and of those that the service has poked.

    Return the number of ids, more than MOST_ROWS for the whole list.
    """
    wanted = set(ids)
    rows = [(ALL,)] if ALL in wanted else [(each,) for each in wanted]
    return _want(redis, most=MOST_ROWS, all=ALL, kept=KEPT, ids=rows)


def is_anything_wanted(redis: Redis) -> bool:
    """Return whether rows are wanted that no sync has finished reading."""
    return bool(redis.exists(keys.SYNC_WANTED, keys.SYNC_TAKEN))


def peek_wanted(redis: Redis) -> set[str]:
    """Return the wanted rows that no sync has taken. They stay wanted."""
    return set(cast("set[str]", redis.smembers(keys.SYNC_WANTED)))


def take_wanted(redis: Redis) -> set[str]:
    """Return the wanted rows for the sync that holds the lock. They include ALL for the list."""
    return set(cast("list[str]", _take(redis, kept=KEPT)))


def settle_wanted(redis: Redis, fence: Fence) -> None:
    """Store that the taken rows have been read, unless another sync has the lock by now."""
    _settle(redis, token=fence.token)


def select_rows(wanted: Collection[str]) -> list[str] | None:
    """Return the ids if they can be read one by one, or None if the whole list has to be read."""
    if ALL in wanted or len(wanted) > MOST_ROWS:
        return None
    return sorted(wanted) if all(map(_fits_into_a_path, wanted)) else None


def _fits_into_a_path(job_id: str) -> bool:
    # A path cannot hold the last two, in any encoding (RFC 3986, section 5.2.4).
    return row_id({"id": job_id}) is not None and job_id not in (".", "..")
