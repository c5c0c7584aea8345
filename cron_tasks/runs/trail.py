"""The trail of manual actions: the stream `cron_tasks:actions`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.store.readable import is_count
from cron_tasks.text.display import printable

#: The most actions in the trail, and the seconds for which it is kept after the last one.
KEPT, KEPT_FOR = 10_000, 90 * DAY
#: The most ids that are stored for an action.
NAMED = 20


@dataclass(frozen=True, slots=True)
class HandAction:
    """What a person did at `at` (seconds since the epoch): `what` to `count` jobs or runs.

    `ids` are the first of them. `via` is the program: "flower" or "command line".
    """

    at: float
    who: str
    via: str
    what: str
    count: int
    ids: tuple[str, ...]
    detail: str = ""


def record_action(
    redis: Redis, who: str, via: str, what: str, ids: Sequence[str], detail: str = ""
) -> None:
    """Add an action to the trail, in one round trip."""
    fields: dict[Any, Any] = {
        "who": printable(who, 100),
        "via": via,
        "what": what,
        "count": len(ids),
        "ids": "\n".join(printable(each, 300) for each in ids[:NAMED]),
        "detail": printable(detail, 300),
    }
    with redis.pipeline(transaction=False) as pipe:
        pipe.xadd(keys.ACTIONS, fields, maxlen=KEPT, approximate=True)
        pipe.expire(keys.ACTIONS, int(KEPT_FOR))
        pipe.execute()


def read_actions(redis: Redis, most: int) -> list[HandAction]:
    """Return the latest actions, newest first."""
    rows = cast("list[tuple[str, dict[str, str]]]", redis.xrevrange(keys.ACTIONS, count=most))
    return [
        HandAction(
            at=int(stamp.partition("-")[0]) / 1000,
            who=fields.get("who", ""),
            via=fields.get("via", ""),
            what=fields.get("what", ""),
            count=int(fields["count"]) if is_count(fields.get("count")) else 1,
            ids=tuple(filter(None, fields.get("ids", "").split("\n"))),
            detail=fields.get("detail", ""),
        )
        for stamp, fields in rows
    ]
