"""Check that the registry equals the list exactly.

The reference is the registry that a sync builds from the same list in an empty database (number 1
of the same Valkey): it has the same jobs, fingerprints and documents, and a place in the schedule
for each job that has a next tick. Values that depend on the past are left out: counters, and since
when.
"""

import subprocess
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers import wait_until
from redis import Redis
from redis.exceptions import RedisError

from chaos.commands import CRON_TASKS
from chaos.jobs import ENTRY

if TYPE_CHECKING:
    from chaos.world import World

#: Seconds within which a fault must be repaired: SYNC_INTERVAL, and ten more for a dead sync's
#: lock.
MENDED = 15.0
#: Further seconds on a busy machine.
BUSY = 10.0
#: Seconds within which a job may fire while it is compared.
SOON = 60.0
#: The jobs that are shown for each kind of difference.
SHOWN = 5


@dataclass
class Registry:
    """Fingerprints by job, (definition, document) by job, and the next tick by job."""

    fingerprints: dict[str, str]
    entries: dict[str, tuple[str | None, str | None]]
    schedule: dict[str, float]

    @classmethod
    def read(cls, redis: Redis) -> "Registry":
        keys = list(redis.scan_iter(f"{ENTRY}*", count=1000))
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


def differences(found: Registry, wanted: Registry, paused: Iterable[str]) -> list[str]:
    """Return the missing, surplus or different parts of the registry: a line for each kind."""
    there, known = found.entries.keys(), wanted.entries.keys()
    same = there & known
    # A job that may have fired meanwhile is due later than in the reference.
    soon = time.time() + SOON
    due, to_be_due = found.schedule.keys(), wanted.schedule.keys() - set(paused)
    kinds = {
        "left over": there - known,
        "left over in the index": found.fingerprints.keys() - known,
        "without an entry": known - there,
        "not as listed": {job for job in same if found.entries[job] != wanted.entries[job]},
        "not in the index, or with the fingerprint of another row": {
            job for job in known if found.fingerprints.get(job) != wanted.fingerprints[job]
        },
        "not in the schedule": to_be_due - due,
        "wrongly in the schedule": due - to_be_due,
        "due at another time": {
            job
            for job in due & to_be_due
            if wanted.schedule[job] > soon and found.schedule[job] != wanted.schedule[job]
        },
    }
    return [_line(kind, jobs) for kind, jobs in kinds.items() if jobs]


def _line(kind: str, jobs: Collection[str]) -> str:
    shown = ", ".join(sorted(jobs, reverse=True)[:SHOWN])
    return f"{len(jobs)} {kind}: {shown}{', …' if len(jobs) > SHOWN else ''}"


def wrong_with(world: "World", paused: Iterable[str] = (), timeout: float = MENDED) -> list[str]:
    """Wait until the registry equals the list. Return the differences when the time is over.

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
        _build_again(world, wanted)
        return wrong
    return []


def _built_afresh(world: "World") -> Registry:
    url = world.valkey.url.rpartition("/")[0] + "/1"
    with Redis.from_url(url, decode_responses=True) as redis:
        redis.flushdb()
        env = world.celery.env | {"CRON_TASKS_REDIS_URL": url}
        subprocess.run(
            [CRON_TASKS, "sync", "--json"], env=env, capture_output=True, timeout=300, check=True
        )
        built = Registry.read(redis)
        redis.flushdb()
    return built


def _build_again(world: "World", wanted: Registry) -> None:
    """Make the next sync write every job, and beat write the sync's own entry."""
    redis = world.redis
    with suppress(RedisError, OSError):
        for job in Registry.read(redis).entries.keys() - wanted.entries.keys():
            redis.zrem("redbeat::schedule", ENTRY + job)
            redis.delete(ENTRY + job)
        redis.delete("cron_tasks:source", "cron_tasks:jobs", "cron_tasks:generation")
        redis.lpush("cron_tasks:poke", "*")
        time.sleep(MENDED)
