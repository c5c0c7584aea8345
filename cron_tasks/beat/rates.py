"""Measures how many runs a second the workers perform while more runs wait (broker/rates.py)."""

from redis import Redis

from cron_tasks.broker.presence import count_slots
from cron_tasks.broker.rates import Rate, Sample, note_rate, take_sample

#: Seconds between two samples. Beat takes one about once a second.
SAMPLE_EVERY = 0.5


class RateMeter:
    """Compares the counters of one second with those of the second before."""

    def __init__(self) -> None:
        self._last: Sample | None = None

    def measure(self, redis: Redis, now: float) -> float:
        """Take a sample, and store the rates that it shows. Return the seconds until the next
        sample."""
        sample = take_sample(redis, now)
        rates = sample.rates_since(self._last) if self._last else {}
        self._last = sample
        for kind, per_second in rates.items():
            note_rate(redis, kind, Rate(per_second, count_slots(redis, now), now))
        return SAMPLE_EVERY
