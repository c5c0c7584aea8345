"""The fence of a sync: who may write the registry, checked by each script that writes it.

A process may be frozen in the middle of a sync for longer than its lock lasts, and Redis may be
emptied meanwhile. So a lock alone does not keep an old list out: the scripts compare the token of
the lock, and the registry's generation, with what they were when the sync began.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.exceptions import LockError

from cron_tasks.store import names
from cron_tasks.store.leases import renewed
from cron_tasks.store.scripts import positional

#: Seconds for which the lock of a sync that died is still held.
LOCK_TTL = 10.0
#: Fields written by one call.
PAGE = 1000

_replace = positional("registry/replace")


@dataclass(frozen=True, slots=True)
class Fence:
    """The token of the sync's lock, and the registry's generation ("" before it is first built)."""

    token: str
    generation: str


@contextmanager
def sync_lock(redis: Redis) -> Iterator[Fence | None]:
    """Hold the lock of a sync for as long as the block runs; None if another sync holds it."""
    lock = redis.lock(names.SYNC_LOCK, timeout=LOCK_TTL, thread_local=False)
    if not lock.acquire(blocking=False):
        yield None
        return
    try:
        token = cast("str | bytes", lock.local.token)
        text = token.decode() if isinstance(token, bytes) else token
        generation = cast("str | None", redis.get(names.GENERATION))
        with renewed(lock.reacquire, LOCK_TTL / 3):
            yield Fence(text, generation or "")
    finally:
        with suppress(LockError):
            lock.release()


def replace_hash(redis: Redis, key: str, fields: Mapping[str, str], fence: Fence) -> None:
    """Replace what a hash holds by `fields`; raises WriteRefused when `fence` no longer holds."""
    flat = [text for field in fields.items() for text in field]
    keys = [names.SYNC_LOCK, names.GENERATION, key]
    for first in range(0, max(len(flat), 1), 2 * PAGE):
        page = flat[first : first + 2 * PAGE]
        _replace(redis, keys, [fence.token, fence.generation, "" if first else "all", *page])
