"""The fence of a sync: each script that writes the registry for a sync checks that it still may.

A process may be frozen in the middle of a sync for longer than its lock lasts, and Redis may be
emptied meanwhile. So a lock alone does not keep out an old list. The scripts compare the token of
the lock and the generation of the registry with those at the start of the sync.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.exceptions import LockError

from cron_tasks.store import keys
from cron_tasks.store.leases import keep_calling
from cron_tasks.store.paging import pages
from cron_tasks.store.scripts import script

#: Seconds after which the lock of a sync that died is free.
LOCK_TTL = 10.0

_replace = script("registry/replace_hash")


@dataclass(frozen=True, slots=True)
class Fence:
    """The token of a sync's lock, and the registry's generation ("" before it is first built)."""

    token: str
    generation: str

    @property
    def values(self) -> dict[str, str]:
        """The arguments of each script that writes for a sync (check_fence.lua)."""
        return {"token": self.token, "generation_at_start": self.generation}


@contextmanager
def sync_lock(redis: Redis) -> Iterator[Fence | None]:
    """Hold the lock of a sync for as long as the block runs. Yield None if another sync has it."""
    lock = redis.lock(keys.SYNC_LOCK, timeout=LOCK_TTL, thread_local=False)
    if not lock.acquire(blocking=False):
        yield None
        return
    try:
        token = cast("str | bytes", lock.local.token)
        text = token.decode() if isinstance(token, bytes) else token
        generation = cast("str | None", redis.get(keys.GENERATION))
        with keep_calling(lock.reacquire, LOCK_TTL / 3):
            yield Fence(text, generation or "")
    finally:
        with suppress(LockError):
            lock.release()


def replace_hash(redis: Redis, key: str, fields: Mapping[str, str], fence: Fence) -> None:
    """Replace the fields of a hash. Raises WriteRefused if `fence` no longer holds."""
    # Without fields there is one empty page, which empties the hash.
    for number, page in enumerate(list(pages(fields.items())) or [[]]):
        _replace(redis, hash=key, clear=number == 0, fields=page, **fence.values)
