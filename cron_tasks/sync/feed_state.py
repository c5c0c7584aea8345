"""The position of the feed of changes, in Redis.

The field `feed` of `cron_tasks:source` is the address to ask next. Each list that is read whole
replaces it, and so does each change of the feed once it is written. The state of the feed for
people is in `cron_tasks:feed`.
"""

from dataclasses import asdict, dataclass
from typing import cast

import orjson
from redis import Redis

from cron_tasks.registry.fence import Fence
from cron_tasks.schedules.human import format_duration
from cron_tasks.store import keys
from cron_tasks.store.readable import is_time, parse_each
from cron_tasks.store.scripts import script

#: Seconds for which the service may wait for a change.
WAIT = 25.0
#: Seconds for which the state of a feed that is no longer followed is kept.
KEPT = 86_400

_store = script("sync/store_feed")
_forget = script("sync/forget_feed")


@dataclass(frozen=True, slots=True)
class Position:
    """The position up to which the feed is read and written.

    `owner` is the service that the registry belongs to. `edits` changes with each edit of a job.
    `removed` is the number of jobs that the feed has removed since the list was read.
    """

    address: str
    owner: str | None
    edits: str | None
    removed: int


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """When the feed last answered (seconds since the epoch), and what has been wrong since."""

    answered: float | None = None
    error: str = ""


def load_position(redis: Redis) -> Position:
    """Read the position of the feed, in one round trip. The address is "" if there is no feed."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.SOURCE, "feed", "owner", "feed_removed")
        pipe.get(keys.EDITS)
        (address, owner, removed), edits = pipe.execute()
    is_number = removed is not None and removed.isdecimal()
    return Position(address or "", owner, edits, int(removed) if is_number else 0)


def store_position(redis: Redis, fence: Fence, address: str, removed: int) -> None:
    """Store that all changes before the cursor in `address` are written.

    Raises WriteRefused if `fence` no longer holds.
    """
    _store(redis, address=address, removed=removed, **fence.values)


def forget_position(redis: Redis, address: str) -> bool:
    """Forget a feed whose cursor is no longer known. Return False if the list has named another
    since."""
    return bool(_forget(redis, address=address))


def store_status(redis: Redis, status: FeedStatus) -> None:
    redis.set(keys.FEED, orjson.dumps(asdict(status)), ex=KEPT)


def load_status(redis: Redis) -> FeedStatus:
    stored = cast("str | None", redis.get(keys.FEED))
    return next(parse_each(_parse_status, [stored] if stored else []), FeedStatus())


def _parse_status(text: str) -> FeedStatus:
    stored = orjson.loads(text)
    answered, error = stored["answered"], stored["error"]
    if not (answered is None or is_time(answered)) or not isinstance(error, str):
        raise ValueError("not the state of a feed")
    return FeedStatus(answered, error)


def describe_feed(status: FeedStatus, now: float) -> str:
    """Return the age of the last answer of a followed feed, and what has been wrong since."""
    if status.answered is None:
        text = "The feed of changes has not answered yet"
    else:
        age = format_duration(max(0.0, now - status.answered))
        text = f"The feed of changes is followed; its last answer came {age} ago"
    return f"{text}: {status.error}" if status.error else text
