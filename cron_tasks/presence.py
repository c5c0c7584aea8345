"""Which workers are there, and how many runs each takes at once: what a storm is shared out by."""

import time
from typing import Any, cast

from celery.signals import heartbeat_sent, worker_ready, worker_shutting_down
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks import names

#: Seconds for which a sign of life counts; workers give one with each of Celery's heartbeats.
ALIVE = 15.0


def slots(redis: Redis, now: float) -> int:
    """Runs that all workers together take at once; at least 1."""
    members = cast("list[str]", redis.zrangebyscore(names.WORKERS, now, "+inf"))
    return max(sum(int(member.rpartition("|")[2]) for member in members), 1)


def announce(redis: Redis, hostname: str, concurrency: int, now: float) -> None:
    """Give a sign of life, and forget workers that have long given none."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.zadd(names.WORKERS, {f"{hostname}|{concurrency}": now + ALIVE})
        pipe.zremrangebyscore(names.WORKERS, "-inf", now - ALIVE)
        pipe.expire(names.WORKERS, int(ALIVE * 4))
        pipe.execute()


def install(redis: Redis) -> None:
    """Have this process, if it becomes a Celery worker, announce itself."""
    worker: dict[str, Any] = {}

    def ready(sender: Any, **_: Any) -> None:
        worker.update(hostname=sender.hostname, concurrency=sender.pool.num_processes or 1)
        beat()

    def beat(**_: Any) -> None:
        if worker:
            try:
                announce(redis, now=time.time(), **worker)
            except RedisError:
                # Celery's own connection tells that Redis is gone; this is only a hint.
                return

    def leave(**_: Any) -> None:
        worker.clear()

    worker_ready.connect(ready, weak=False)
    heartbeat_sent.connect(beat, weak=False)
    worker_shutting_down.connect(leave, weak=False)
