"""Keep track of the workers, and of the number of runs that each performs at once.

Beat divides a burst of due ticks by that number.
"""

import time
from typing import Any, cast

from celery.signals import heartbeat_sent, worker_ready, worker_shutting_down
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.broker.pool_watch import PoolWatch
from cron_tasks.store import keys
from cron_tasks.store.readable import parse_each
from cron_tasks.vitals.signs import request_sign

#: Seconds for which a sign of life is valid. Workers give one with each of Celery's heartbeats.
ALIVE = 15.0


def count_slots(redis: Redis, now: float) -> int:
    """Return the number of runs that all workers together perform at once, at least 1."""
    # Entries are in the order of the signs of life, so the newest entry of a restarted worker is
    # used.
    members = cast("list[str]", redis.zrangebyscore(keys.WORKERS, now, "+inf"))
    sizes = dict(parse_each(_parse_worker, members))
    return max(sum(sizes.values()), 1)


def _parse_worker(member: str) -> tuple[str, int]:
    host, _, size = member.rpartition("|")
    return host, int(size)


def list_workers(redis: Redis, now: float) -> list[str]:
    """Return the names of the workers that are present."""
    members = cast("list[str]", redis.zrangebyscore(keys.WORKERS, now, "+inf"))
    return sorted(dict(parse_each(_parse_worker, members)))


def announce_worker(
    redis: Redis, hostname: str, concurrency: int, now: float, before: int = 0
) -> None:
    """Give a sign of life, and remove workers whose last one is too old.

    `before` is the concurrency at the last sign of life, because a pool grows and shrinks.
    """
    with redis.pipeline(transaction=False) as pipe:
        if before not in (0, concurrency):
            pipe.zrem(keys.WORKERS, f"{hostname}|{before}")
        pipe.zadd(keys.WORKERS, {f"{hostname}|{concurrency}": now + ALIVE})
        pipe.zremrangebyscore(keys.WORKERS, "-inf", now - ALIVE)
        pipe.expire(keys.WORKERS, int(ALIVE * 4))
        request_sign(pipe, now, "worker")
        pipe.execute()


def announce_from_signals(redis: Redis) -> None:
    """Announce this process at each heartbeat if it becomes a Celery worker.

    A worker whose pool is stuck gives no sign of life.
    """
    worker: Any = None
    announced = 0
    watch = PoolWatch()

    def start_announcing(sender: Any, **_: Any) -> None:
        nonlocal worker
        worker = sender
        announce_now()

    def announce_now(**_: Any) -> None:
        nonlocal announced
        if worker is None:
            return
        size = worker.pool.num_processes or 1
        if watch.is_stuck(*_list_messages(), size, time.monotonic()):
            return
        try:
            announce_worker(redis, worker.hostname, size, time.time(), before=announced)
        except RedisError:
            # Celery's own connection reports that Redis is away. This is only a hint.
            return
        announced = size

    def stop_announcing(**_: Any) -> None:
        nonlocal worker
        worker = None

    worker_ready.connect(start_announcing, weak=False)
    heartbeat_sent.connect(announce_now, weak=False)
    worker_shutting_down.connect(stop_announcing, weak=False)


def _list_messages() -> tuple[set[str], set[str]]:
    """Return the ids of the messages that this worker has taken, and of those it has begun."""
    from celery.worker import state

    try:
        return (
            {each.id for each in state.reserved_requests},
            {each.id for each in state.active_requests},
        )
    except RuntimeError:  # Another thread has added one meanwhile.
        return set(), set()
