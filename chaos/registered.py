"""Whether the registry equals the list, exactly.

The measure is the registry that a sync builds from the same list in an empty database (number 1 of
the same Valkey): it has the same jobs, fingerprints and documents, and a place in the schedule for
each job that has a next tick. Left out is what depends on the past: counters, and since when.
"""

import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers import wait_until
from redis import Redis
from redis.exceptions import RedisError

from chaos.commands import CRON_TASKS

if TYPE_CHECKING:
    from chaos.world import World

ENTRY = "redbeat:cron_tasks:"
#: Seconds within which a fault must be mended: SYNC_INTERVAL and ten more, for a dead sync's lock.
MENDED = 15.0
#: Seconds more on a machine that is busy.
BUSY = 10.0
#: Differences shown of one comparison.
SHOWN = 5


@dataclass
class Registry:
    """Fingerprints by job, (definition, document) by job, and the next tick by job."""

    fingerprints: dict[str, str]
    entries: dict[str, tuple[str | None, str | None]]
    schedule: dict[str, float]

    @classmethod
    def read(cls, redis: Redis) -> "Registry":
        keys = [key for key in redis.scan_iter(f"{ENTRY}*", count=1000)]
        with redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key, "definition", "job")
            rows = pipe.execute()
        jobs = [key.removeprefix(ENTRY) for key in keys]
        scores = redis.zrange("redbeat::schedule", 0, -1, withscores=True)
        return cls(
            redis.hgetall("cron_tasks:jobs"),
            {job: (row[0], row[1]) for job, row in zip(jobs, rows, strict=True)},
            {key.removeprefix(ENTRY): score for key, score in scores if key.startswith(ENTRY)},
        )


def differences(found: Registry, wanted: Registry, paused: Iterable[str]) -> Iterator[str]:
    """Yield what of the registry is missing, left over or different, in words."""
    resting = set(paused)
    for job in sorted(wanted.entries.keys() | found.entries.keys() | found.fingerprints.keys()):
        if job not in wanted.entries:
            yield f"{job} is left over"
        elif job not in found.entries:
            yield f"{job} has no entry"
        elif found.entries[job] != wanted.entries[job]:
            yield f"{job} is {found.entries[job][0]}, and the list says {wanted.entries[job][0]}"
        elif found.fingerprints.get(job) != wanted.fingerprints[job]:
            yield f"{job} has the fingerprint {found.fingerprints.get(job)} of another row"
    wanted_due = wanted.schedule.keys() - resting
    yield from (f"{job} is not in the schedule" for job in wanted_due - found.schedule.keys())
    extra = found.schedule.keys() - wanted_due
    yield from (f"{job} is in the schedule and should not be" for job in extra)


def wrong_with(world: "World", paused: Iterable[str] = (), timeout: float = MENDED) -> list[str]:
    """Wait until the registry equals the list; return what differs when the time is over.

    The list must not be edited meanwhile. A registry that stays wrong is then built again, so that
    one fault does not hide the next.
    """
    deadline = time.monotonic() + timeout + BUSY
    wanted = _built_afresh(world)
    wrong: list[str] = ["Redis did not answer"]

    def equal() -> bool:
        with suppress(RedisError, OSError):
            wrong[:] = differences(Registry.read(world.redis), wanted, paused)
        if wrong:
            time.sleep(0.3)
        return not wrong

    try:
        wait_until(equal, "", max(deadline - time.monotonic(), 0))
    except AssertionError:
        found = [*wrong[:SHOWN], *([f"and {len(wrong) - SHOWN} more"] if wrong[SHOWN:] else [])]
        _build_again(world, wanted)
        return found
    return []


def _built_afresh(world: "World") -> Registry:
    url = world.valkey.url.rpartition("/")[0] + "/1"
    with Redis.from_url(url, decode_responses=True) as redis:
        redis.flushdb()
        env = world.celery.env | {"CRON_TASKS_REDIS_URL": url}
        subprocess.run(
            [CRON_TASKS, "sync", "--json"], env=env, capture_output=True, timeout=60, check=True
        )
        built = Registry.read(redis)
        redis.flushdb()
    return built


def _build_again(world: "World", wanted: Registry) -> None:
    """Have the next sync write every job, and beat write its own entry."""
    redis = world.redis
    with suppress(RedisError, OSError):
        for job in Registry.read(redis).entries.keys() - wanted.entries.keys():
            redis.zrem("redbeat::schedule", ENTRY + job)
            redis.delete(ENTRY + job)
        redis.delete("cron_tasks:source", "cron_tasks:jobs", "cron_tasks:generation")
        redis.lpush("cron_tasks:poke", "*")
        time.sleep(MENDED)
