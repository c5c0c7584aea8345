"""The alarms of the ledger besides the ends of runs: late runs, the digest, and pings."""

from collections.abc import Sequence
from typing import Any, cast

from redis import Redis

from cron_tasks.ledger import steps
from cron_tasks.ledger.records import Message
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store import keys

_NOTHING = Message("", b"")


def keep_pings(redis: Redis, pings: Sequence[bytes]) -> None:
    """Keep pings for the worker that sends them, as `finish` does at the end of a run."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.rpush(keys.PINGS, *pings)
        pipe.expire(keys.PINGS, int(DAY))
        pipe.execute()


class Alarms:
    """Sends each alarm once, even if several processes try at the same time."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        #: Seconds for which late runs are kept.
        self.kept = int((settings.audit_days + 1) * DAY)
        self._queues = {
            "stream": settings.notify_transport == "stream",
            "notify_max": settings.notify_max,
        }

    def list_expected(self, now: float, limit: int) -> list[RunId]:
        """Return runs that should have ended before `now`, the earliest limit first."""
        found: Any = self.redis.zrangebyscore(keys.EXPECTED, "-inf", f"({now}", 0, limit)
        return [RunId.stored(text) for text in found]

    def expect_later(self, run_ids: Sequence[RunId], limit: float) -> None:
        """Give runs until `limit` to end, unless they have ended."""
        if run_ids:
            self.redis.zadd(keys.EXPECTED, dict.fromkeys(run_ids, limit), xx=True)

    def tell_late(self, now: float, rows: Sequence[tuple[RunId, bool, Message | None]]) -> int:
        """Notify about runs that did not end in time, once each, and no longer expect them.

        A row is the run id, whether its job is known, and the notification. Returns how many runs
        were notified for the first time.
        """
        runs = [
            (run_id, "1" if is_known else "", (each or _NOTHING).queue, (each or _NOTHING).payload)
            for run_id, is_known, each in rows
        ]
        return steps.tell_late(self.redis, now=now, late_ttl=self.kept, runs=runs, **self._queues)

    def digest_until(self) -> float | None:
        """Return the end of the period that the last digest covered. None if there was none."""
        text = cast("str | None", self.redis.get(keys.DIGEST))
        return float(text) if text else None

    def tell_digest(self, end: float, message: Message | None) -> bool:
        """Send the digest of the time until `end`, if it has any content.

        Returns False if it was sent before.
        """
        queue, payload = (message.queue, message.payload) if message else ("", b"")
        told = steps.tell_digest(self.redis, ends=end, queue=queue, message=payload, **self._queues)
        return bool(told)
