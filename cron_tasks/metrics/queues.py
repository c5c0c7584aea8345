"""Reads the number of messages that wait in queues, and the age of the oldest."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.broker.depth import age_of_oldest, read_backlogs
from cron_tasks.metrics.families import MOST_QUEUES, Value
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.text.display import is_utf8

#: A queue of runs that a job names, as a field of `cron_tasks:metrics`.
_RUN_QUEUE = "queue|"
_NOTIFICATIONS = "notifications_total|"


def note_run_queue(redis: Redis, queue: str) -> None:
    """Store that runs are sent to a queue, so that its depth becomes a metric."""
    with suppress(RedisError):
        redis.hset(keys.METRICS, _RUN_QUEUE + queue, 1)


def read_queues(
    redis: Redis, settings: Settings, counters: Mapping[str, str], now: float
) -> dict[str, list[Value]]:
    """Return the depth of each queue that was used so far, and the age of its oldest message.

    At most MOST_QUEUES queues of each kind are read.
    """
    runs = {settings.default_queue, keys.SYNC_QUEUE, *_list_queues(counters, _RUN_QUEUE)}
    told = {settings.notify_queue, *_list_queues(counters, _NOTIFICATIONS)}
    messages, ages = list[Value](), list[Value]()
    for name, backlog in read_backlogs(redis, runs).items():
        labels = name, "sync" if name == keys.SYNC_QUEUE else "runs"
        messages.append((labels, backlog.length))
        age = age_of_oldest(backlog, now, settings.sync_interval)
        ages.append((labels, age or 0.0))
    for name, (length, age) in _read_notifications(redis, sorted(told), now).items():
        messages.append(((name, "notifications"), length))
        ages.append(((name, "notifications"), age))
    return {"queue_messages": messages, "queue_oldest_age_seconds": ages}


def _list_queues(counters: Mapping[str, str], prefix: str) -> list[str]:
    names = [name.removeprefix(prefix) for name in counters if name.startswith(prefix)]
    # redis-py refuses to send text with undecodable bytes in it.
    return sorted(filter(is_utf8, names))[:MOST_QUEUES]


def _read_notifications(redis: Redis, names: list[str], now: float) -> dict[str, tuple[int, float]]:
    """Return the number of messages that wait in queues for bots, and the age of the oldest in
    seconds.

    A queue is a list or a stream. A key of another type is empty.
    """
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(name)
            pipe.lindex(name, 0)
            pipe.xlen(name)
            pipe.xrange(name, count=1)
            pipe.xinfo_groups(name)
        answers = iter(pipe.execute(raise_on_error=False))
    found = {}
    for name in names:
        length, oldest, entries, first, groups = (next(answers) for _ in range(5))
        if isinstance(length, int):
            found[name] = length, _age_of(oldest, now)
        elif isinstance(entries, int) and (waiting := _count_unread(entries, groups)):
            found[name] = waiting, _age_of(first[0][1].get("data"), now)
        else:
            found[name] = 0, 0.0
    return found


def _count_unread(entries: int, groups: Any) -> int:
    """Return the number of entries of a stream that the slowest group has not acknowledged.

    Without groups nobody reads it. A server older than 7 does not know the position of a group.
    """
    if isinstance(groups, Exception) or not groups:
        return entries
    return max(
        entries if (lag := group.get("lag")) is None else lag + group["pending"] for group in groups
    )


def _age_of(payload: Any, now: float) -> float:
    with suppress(ValueError, LookupError, TypeError):
        written = datetime.fromisoformat(orjson.loads(payload)["created_at"])
        return max(now - written.timestamp(), 0.0)
    return 0.0
