"""How many runs a second this installation performs: as measured, else as assumed.

It was measured while runs waited (broker/rates.py). Before that, figures are assumed
(docs/performance.md). The number of slots is what the workers announce.
"""

from typing import Literal, NamedTuple

from redis import Redis

from cron_tasks.broker.presence import count_slots
from cron_tasks.broker.rates import read_rate
from cron_tasks.text.english import number_of

#: Runs a second of a slot, and of all slots together, and the same of HTTP calls.
PER_SLOT, MOST = 12_000, 40_000
CALLS_PER_SLOT, MOST_CALLS = 2_000, 10_000
#: The share of these that a list may need without a warning. The other half leaves room for
#: retries, manual runs, and a worker that is gone.
SHARE = 0.5

Kind = Literal["jobs", "calls"]


class Capacity(NamedTuple):
    """How many runs a second these slots perform, of jobs or of calls. `measured` is the day."""

    per_second: int
    slots: int
    kind: Kind = "jobs"
    measured: str = ""

    @property
    def most(self) -> float:
        """Return how many jobs may be due in a second without a warning."""
        return SHARE * self.per_second

    @property
    def sentence(self) -> str:
        """Say what is performed, and whether that is measured."""
        does = "performs" if self.slots == 1 else "perform"
        able = f"{number_of(self.slots, 'slot')} of workers {does} about {self.per_second:,}"
        unit = "calls a second" if self.kind == "calls" else "a second"
        if self.measured:
            return f"{able} {unit} (measured on {self.measured})"
        return f"{able} {unit}" + (" (assumed, not measured yet)" if self.kind == "calls" else "")


def assume_capacity(kind: Kind, slots: int) -> Capacity:
    """Return what these slots perform where nothing was measured."""
    if kind == "calls":
        return Capacity(min(slots * CALLS_PER_SLOT, MOST_CALLS), slots, kind)
    return Capacity(min(slots * PER_SLOT, MOST), slots, kind)


def read_capacity(redis: Redis, kind: Kind, now: float) -> Capacity:
    """Return what the present slots perform."""
    slots = count_slots(redis, now)
    rate = read_rate(redis, "http" if kind == "calls" else "notify", now)
    if rate is None:
        return assume_capacity(kind, slots)
    return Capacity(max(rate.scale(slots), 1), slots, kind, rate.date)
