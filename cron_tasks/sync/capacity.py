"""The number of runs a second that this installation can perform, measured or assumed.

The rate is measured while runs wait (broker/rates.py). Without a measurement, figures of
docs/performance.md are assumed. The workers announce the number of slots.
"""

from typing import Literal, NamedTuple

from redis import Redis

from cron_tasks.broker.presence import count_slots
from cron_tasks.broker.rates import read_rate
from cron_tasks.text.english import number_of

#: Runs a second of one slot and of all slots together, and the same for HTTP calls.
PER_SLOT, MOST = 12_000, 40_000
CALLS_PER_SLOT, MOST_CALLS = 2_000, 10_000
#: The share of these rates that a list may need without a warning. The other half leaves room for
#: retries, manual runs, and the loss of a worker.
SHARE = 0.5

Kind = Literal["jobs", "calls"]


class Capacity(NamedTuple):
    """The runs, or the calls, a second that these slots can perform. `measured` is the day, if
    any."""

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
        """The rate as a sentence, and whether it was measured."""
        does = "performs" if self.slots == 1 else "perform"
        able = f"{number_of(self.slots, 'slot')} of workers {does} about {self.per_second:,}"
        unit = "calls a second" if self.kind == "calls" else "a second"
        if self.measured:
            return f"{able} {unit} (measured on {self.measured})"
        return f"{able} {unit}" + (" (assumed, not measured yet)" if self.kind == "calls" else "")


def assume_capacity(kind: Kind, slots: int) -> Capacity:
    """Return the assumed capacity of these slots."""
    if kind == "calls":
        return Capacity(min(slots * CALLS_PER_SLOT, MOST_CALLS), slots, kind)
    return Capacity(min(slots * PER_SLOT, MOST), slots, kind)


def read_capacity(redis: Redis, kind: Kind, now: float) -> Capacity:
    """Return the capacity of the present slots."""
    slots = count_slots(redis, now)
    rate = read_rate(redis, "http" if kind == "calls" else "notify", now)
    if rate is None:
        return assume_capacity(kind, slots)
    return Capacity(max(rate.scale(slots), 1), slots, kind, rate.date)
