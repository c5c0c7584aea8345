"""Count the messages in worker queues, and read the oldest."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from kombu import Producer
from kombu.exceptions import ChannelError
from kombu.transport.redis import Channel
from redis import Redis
from redis.exceptions import ResponseError

from cron_tasks.ledger.run_id import RunId
from cron_tasks.store import keys
from cron_tasks.store.client import is_wrong_type

#: No more messages are sent to a queue with more than this. Its ticks stay open in the ledger.
QUEUE_FULL = 10_000


def count_messages(producer: Producer, queue: str) -> int:
    """Return the number of messages in a queue.

    A key of another type than a Redis list counts as a full queue.
    """
    try:
        channel: Any = producer.channel
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        return QUEUE_FULL + 1


class Backlog(NamedTuple):
    """The number of messages in a queue, and the oldest of each priority, as JSON."""

    length: int
    oldest: list[str]


def read_backlogs(redis: Redis, queues: Iterable[str]) -> dict[str, Backlog]:
    """Return the backlog of each queue, in one round trip.

    kombu keeps one list for each priority, whose last element is the oldest. A key of another type
    counts as a full queue.
    """
    names = list(queues)
    suffixes = ["", *(f"{Channel.sep}{step}" for step in Channel.priority_steps if step)]
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            for suffix in suffixes:
                pipe.llen(name + suffix)
                pipe.lindex(name + suffix, -1)
        answers = iter(pipe.execute(raise_on_error=False))
    return {
        name: _sum_backlog([(next(answers), next(answers)) for _ in suffixes]) for name in names
    }


def _sum_backlog(lists: list[tuple[Any, Any]]) -> Backlog:
    for length, _ in lists:
        if isinstance(length, Exception):
            if not is_wrong_type(length):
                raise length
            return Backlog(QUEUE_FULL + 1, [])
    return Backlog(sum(length for length, _ in lists), [each for _, each in lists if each])


def age_of_oldest(backlog: Backlog, now: float, sync_interval: float) -> float | None:
    """Return the seconds since the oldest message was due, None if no message shows its time."""
    times = [at for text in backlog.oldest if (at := _time_of(text, sync_interval)) is not None]
    return max(now - min(times), 0.0) if times else None


def _time_of(text: str, sync_interval: float) -> float | None:
    """Return when a message was due, in seconds since the epoch.

    Celery's messages have no time. Ours name a run, and thereby its fire time, or expire
    `sync_interval` after they were sent.
    """
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        headers: dict[str, Any] = orjson.loads(text)["headers"]
        match headers["task"]:
            case keys.RUN_TASK:
                run_id = RunId.parse(headers["id"])
            case keys.CHUNK_TASK:
                run_id = RunId.parse(headers["argsrepr"].rpartition(" ")[2].rstrip(")"))
            case keys.SYNC_TASK:
                return datetime.fromisoformat(headers["expires"]).timestamp() - sync_interval
            case _:
                return None
        return run_id.scheduled_for if run_id else None
    return None
