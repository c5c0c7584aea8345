"""Our keys that another program has overwritten: those of another type, and locks without an
expiry.

Every command on a key of another type fails, so beat, workers or syncs would wait forever. The
value of such a key is of no use, so the key is deleted, as if it had been lost.
"""

from collections.abc import Iterable

import structlog
from redis import Redis

from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.store.scripts import script

log = structlog.get_logger("cron_tasks.comparison")

_look_for_foreign = script("repair/foreign")

#: Locks. Each is set with a time to live.
LOCKS = (
    keys.LEADER_LOCK,
    keys.SYNC_LOCK,
    keys.FEED_LOCK,
    keys.REPORTS_LOCK,
    keys.PINGS_LOCK,
    keys.LOST_TURN,
)
#: The types of the other keys of which only one exists.
_NAMES_BY_KIND = {
    "hash": (
        *(keys.JOBS, keys.FIRED, keys.REJECTED, keys.SET_ASIDE, keys.SOURCE, keys.MENDED),
        *(keys.OPEN, keys.BATCHES, keys.ATTEMPTS, keys.GOING, keys.QUEUED, keys.BEFORE),
        *(keys.AWAITED, keys.STOP, keys.MINUTE, keys.COUNTED_MINUTE, keys.FAILING, keys.UNTOLD),
        *(keys.METRICS, keys.DROPPED, keys.REPORTED_ERRORS, keys.REFUSED_REPORTS, keys.RATES),
    ),
    "zset": (
        *(keys.SCHEDULE, keys.SKIPS, keys.DEADLINES, keys.EXPECTED, keys.FAILED, keys.REMOVED),
        *(keys.LATE, keys.REPORTS, keys.WORKERS, keys.SIGNS),
    ),
    "list": (keys.POKE, keys.WAKE, keys.RECENT, keys.UNDELIVERABLE, keys.PINGS),
    "set": (keys.SYNC_WANTED, keys.SYNC_TAKEN),
    "stream": (keys.CHANGES, keys.ACTIONS, keys.LEADERS),
    "string": (keys.EDITS, keys.GENERATION, keys.FEED, keys.DIGEST, keys.LOST, *LOCKS),
}
KINDS = {name: kind for kind, names in _NAMES_BY_KIND.items() for name in names}


def find_foreign(redis: Redis, now: float, mend: bool) -> list[str]:
    """Return the keys of another type, and the locks without an expiry. Delete them with `mend`.

    The check covers all keys of which only one exists, and the counts of the days around `now`
    (seconds).
    """
    today = int(now // DAY)
    counts = [f"{keys.COUNT_PREFIX}{day}" for day in (today - 1, today, today + 1)]
    return _look(redis, [*KINDS, *counts], mend)


def free_lock(redis: Redis, name: str) -> None:
    """Delete a lock that would never expire, or that is not a lock."""
    _look(redis, [name], mend=True)


def _look(redis: Redis, names: Iterable[str], mend: bool) -> list[str]:
    known = [(name, KINDS.get(name, "hash"), "1" if name in LOCKS else "") for name in names]
    found: list[str] = _look_for_foreign(redis, mend=mend, known=known)
    if found and mend:
        log.warning("registry.foreign_keys", keys=found, hint="did somebody else write to them?")
    return found
