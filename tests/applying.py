"""Writing jobs into a registry without a REST service, as a sync would."""

from collections.abc import Callable

from helpers import wait_until
from redis import Redis

from cron_tasks.ledger.records import Overtaken
from cron_tasks.registry.fence import sync_lock
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.writer import Writer


def apply(
    redis: Redis,
    changes: Changes,
    now: float,
    overtaken: Callable[[list[Overtaken], str], object] = lambda *_: None,
) -> None:
    """Write `changes` at `now` (seconds since the epoch), once no other sync holds the lock."""

    def write() -> bool:
        with sync_lock(redis) as fence:
            if fence is None:
                return False
            audited = Registry(redis).audited
            Writer(redis, audited, fence, overtaken).write(changes, lambda: now)
        return True

    wait_until(write, "the lock of a sync")
    redis.set("cron_tasks:generation", repr(now), nx=True)
