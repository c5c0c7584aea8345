"""The highest rates at which this installation has ended runs while more were waiting.

Only such a second shows the capacity of the workers. Without a backlog, the rate is that of the due
runs.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys

#: Seconds for which a measured rate is valid.
KEPT = int(7 * DAY)
#: The deadline of a pending run is at most this many seconds ahead. That of a run in flight is
#: later.
PENDING_WITHIN = 5.0
#: The measured kinds of actions, each with the fewest ends in a second that are significant.
LEAST = {"notify": 1000, "http": 100}
#: The longest interval, in seconds, between two samples that can be compared.
_SPAN = (0.8, 1.6)
_OUTCOMES = ("ok", "failed")


@dataclass(frozen=True, slots=True)
class Rate:
    """The runs a second of a number of slots, measured at `at` (seconds since the epoch)."""

    per_second: float
    slots: int
    at: float

    def scale(self, slots: int) -> int:
        """Return the rate of another number of slots, in proportion."""
        return int(self.per_second * slots / self.slots)

    @property
    def date(self) -> str:
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class Sample:
    """The runs of each kind that have ended so far, and how many were pending, at one time."""

    at: float
    ended: dict[str, int]
    pending: int

    def rates_since(self, before: "Sample") -> dict[str, float]:
        """Return the rates of the kinds for which the workers were at their limit.

        They were if at least as many runs were left pending as had ended.
        """
        span = self.at - before.at
        if not _SPAN[0] <= span <= _SPAN[1]:
            return {}
        ended = {kind: self.ended[kind] - before.ended[kind] for kind in LEAST}
        return {
            kind: number / span
            for kind, number in ended.items()
            if LEAST[kind] <= number <= self.pending
        }


def take_sample(redis: Redis, now: float) -> Sample:
    """Read the counters and the pending runs, in one round trip."""
    names = [f"attempts_total|{kind}|{outcome}" for kind in LEAST for outcome in _OUTCOMES]
    with redis.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.METRICS, names)
        pipe.zcount(keys.DEADLINES, "-inf", now + PENDING_WITHIN)
        pipe.hvals(keys.BATCHES)
        counts, pending, batches = pipe.execute()
    numbers = [int(each or 0) for each in counts]
    ended = {
        kind: sum(numbers[n * len(_OUTCOMES) : (n + 1) * len(_OUTCOMES)])
        for n, kind in enumerate(LEAST)
    }
    batched = sum(int(record.partition(" ")[0]) - 1 for record in batches)
    return Sample(now, ended, pending + batched)


def note_rate(redis: Redis, kind: str, rate: Rate) -> None:
    """Store a rate, unless the same slots have shown a higher one within KEPT seconds."""
    known = read_rate(redis, kind, rate.at)
    if known and known.slots == rate.slots and known.per_second >= rate.per_second:
        return
    with redis.pipeline(transaction=False) as pipe:
        pipe.hset(keys.RATES, kind, f"{rate.per_second:.0f} {rate.slots} {rate.at:.0f}")
        pipe.expire(keys.RATES, KEPT)
        pipe.execute()


def read_rate(redis: Redis, kind: str, now: float) -> Rate | None:
    """Return the recently measured rate of a kind of action, or None."""
    stored: Any = redis.hget(keys.RATES, kind)
    try:
        per_second, slots, at = map(float, (stored or "").split(" "))
    except ValueError:
        return None
    return Rate(per_second, int(slots), at) if slots >= 1 and now - at < KEPT else None
