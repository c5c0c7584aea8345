"""Which workers are there, and how many runs each takes at once: what a storm is shared out by."""

import time
from typing import Any, cast

from celery.signals import heartbeat_sent, worker_ready, worker_shutting_down
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.store import names

#: Seconds for which a sign of life counts; workers give one with each of Celery's heartbeats.
ALIVE = 15.0


def count_slots(redis: Redis, now: float) -> int:
    """Runs that all workers together take at once; at least 1."""
    # In the order of their signs of life, so that of a restarted worker the newest counts.
    members = cast("list[str]", redis.zrangebyscore(names.WORKERS, now, "+inf"))
    sizes = {host: int(size) for host, _, size in (each.rpartition("|") for each in members)}
    return max(sum(sizes.values()), 1)


def announce_worker(
    redis: Redis, hostname: str, concurrency: int, now: float, before: int = 0
) -> None:
    """Give a sign of life, and forget workers that have long given none.

    `before` is the concurrency at the last sign of life: a pool grows and shrinks.
    """
    with redis.pipeline(transaction=False) as pipe:
        if before not in (0, concurrency):
            pipe.zrem(names.WORKERS, f"{hostname}|{before}")
        pipe.zadd(names.WORKERS, {f"{hostname}|{concurrency}": now + ALIVE})
        pipe.zremrangebyscore(names.WORKERS, "-inf", now - ALIVE)
        pipe.expire(names.WORKERS, int(ALIVE * 4))
        pipe.execute()


def announce_from_signals(redis: Redis) -> None:
    """Have this process, if it becomes a Celery worker, announce itself."""
    worker: Any = None
    announced = 0

    def ready(sender: Any, **_: Any) -> None:
        nonlocal worker
        worker = sender
        beat()

    def beat(**_: Any) -> None:
        nonlocal announced
        if worker is None:
            return
        size = worker.pool.num_processes or 1
        try:
            announce_worker(redis, worker.hostname, size, time.time(), before=announced)
        except RedisError:
            # Celery's own connection tells that Redis is gone; this is only a hint.
            return
        announced = size

    def leave(**_: Any) -> None:
        nonlocal worker
        worker = None

    worker_ready.connect(ready, weak=False)
    heartbeat_sent.connect(beat, weak=False)
    worker_shutting_down.connect(leave, weak=False)
