"""Writing jobs into a registry without a REST service, as a sync would."""

from collections.abc import Callable

from redis import Redis

from cron_tasks.fence import sync_lock
from cron_tasks.ledger_ticks import Overtaken
from cron_tasks.plan import Changes
from cron_tasks.registry import Registry


def apply(
    redis: Redis,
    changes: Changes,
    now: float,
    overtaken: Callable[[list[Overtaken], str], object] = lambda *_: None,
) -> None:
    """Write `changes` at `now` (seconds since the epoch), under the lock of a sync."""
    with sync_lock(redis) as fence:
        assert fence, "another sync is running"
        Registry(redis).apply(changes, lambda: now, fence, overtaken=overtaken)
    redis.set("cron_tasks:generation", repr(now), nx=True)
