"""Signs of life in the sorted set `cron_tasks:signs`, one member for each process.

A member is `<part>|<host>|<process id>`, scored with the time of the last sign. A beat gives its
sign in its loop. A worker gives one with each of Celery's heartbeats, which stop if the broker is
away. So the sign of a hanging process becomes old, while the process still lives.
"""

import os
import socket
import time
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, cast

from redis import Redis

from cron_tasks.store import keys
from cron_tasks.store.readable import parse_each

#: Seconds between two signs of a beat.
EVERY = 2.0
#: Seconds for which a sign is valid.
FRESH = 15.0
#: Seconds after which the sign of a process is forgotten.
FORGOTTEN = 3600


class Sign(NamedTuple):
    """The last sign of life of a process. `part` is "beat", "leader" or "worker"."""

    part: str
    host: str
    pid: int
    at: float

    def is_fresh(self, now: float) -> bool:
        """Return whether the process works at `now`."""
        return now - self.at <= FRESH


def this_host() -> str:
    """Return the name of this host. In a container it is the name of the container."""
    return socket.gethostname().replace("|", "")


def request_sign(pipe: Any, now: float, *parts: str) -> None:
    """Request a sign of life of this process for each of `parts`, in a pipeline."""
    name = f"{this_host()}|{os.getpid()}"
    pipe.zadd(keys.SIGNS, {f"{part}|{name}": now for part in parts})
    pipe.zremrangebyscore(keys.SIGNS, "-inf", now - FORGOTTEN)
    pipe.expire(keys.SIGNS, FORGOTTEN)


def request_fresh_signs(pipe: Any, now: float) -> None:
    """Request the members that are fresh at `now`, in a pipeline."""
    pipe.zrangebyscore(keys.SIGNS, now - FRESH, "+inf")


def withdraw_signs(redis: Redis, *parts: str) -> None:
    """Remove the signs of this process, because it ends in order."""
    redis.zrem(keys.SIGNS, *(f"{part}|{this_host()}|{os.getpid()}" for part in parts))


def read_signs(redis: Redis) -> list[Sign]:
    """Read the last signs of all processes of the last hour that did not end in order."""
    rows = redis.zrange(keys.SIGNS, 0, -1, withscores=True)
    return parse_signs(cast("list[tuple[str, float]]", rows))


def parse_signs(rows: list[tuple[str, float]]) -> list[Sign]:
    """Parse the members of the set with their scores."""
    return list(parse_each(_parse_sign, rows))


def _parse_sign(row: tuple[str, float]) -> Sign:
    part, host, pid = row[0].split("|")
    return Sign(part, host, int(pid), row[1])


class BeatSigns:
    """The signs of a beat. `clock` returns seconds since the epoch."""

    def __init__(self, redis: Redis, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._clock = clock
        self._given = -inf

    def give(self, is_leading: bool, early: bool) -> None:
        """Give a sign if it is time, which is EVERY seconds after the last one. Raises RedisError.

        Without `early` it may wait twice as long for a moment in which nothing is due.
        """
        now = time.monotonic()
        if now < self._given + (EVERY if early else 2 * EVERY):
            return
        self._given = now
        parts = ("beat", "leader") if is_leading else ("beat",)
        with self._redis.pipeline(transaction=False) as pipe:
            request_sign(pipe, self._clock(), *parts)
            # Only probes and metrics need this. A key of another type must not block beat.
            pipe.execute(raise_on_error=False)

    def withdraw(self) -> None:
        """Remove the signs. Raises RedisError."""
        withdraw_signs(self._redis, "beat", "leader")
