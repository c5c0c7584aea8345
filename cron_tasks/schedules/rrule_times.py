"""The times of day of a recurrence rule, in order and without listing all 86,400 seconds."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd

from cron_tasks.schedules.durations import DAY, HOUR, MINUTE
from cron_tasks.schedules.rrule_text import DAILY, HOURLY, MINUTELY, SECONDLY, Parts

#: Seconds in a period of each frequency that is at most a day.
SECONDS_IN = {DAILY: DAY, HOURLY: HOUR, MINUTELY: MINUTE, SECONDLY: 1}


@dataclass(frozen=True, slots=True)
class TimesOfDay:
    """Each of `offsets`, in seconds, after each of `starts`, which are multiples of `span` seconds.

    Both are sorted, and an offset is shorter than `span`. Works like a sorted list of seconds of a
    day.
    """

    starts: Sequence[int]
    offsets: Sequence[int]
    span: int = HOUR

    def __len__(self) -> int:
        return len(self.starts) * len(self.offsets)

    def __getitem__(self, at: int) -> int:
        start, offset = divmod(at, len(self.offsets))
        return self.starts[start] * self.span + self.offsets[offset]

    def count_before(self, second: int) -> int:
        """Return how many times are earlier than `second`."""
        start, offset = divmod(second, self.span)
        at = bisect_left(self.starts, start)
        count = at * len(self.offsets)
        if at < len(self.starts) and self.starts[at] == start:
            count += bisect_left(self.offsets, offset)
        return count


def chosen_indices(positions: Sequence[int], size: int) -> list[int]:
    """Return the indices that BYSETPOS chooses in a list of `size`, in order."""
    indices = (at - 1 if at > 0 else size + at for at in positions)
    return sorted({at for at in indices if 0 <= at < size})


def find_times_of_day(parts: Parts, start: int) -> tuple[TimesOfDay, bool]:
    """Return the times of day of a rule that begins at second `start` of a day.

    They take account of BYSETPOS for periods of up to a day. They take account of INTERVAL for
    shorter periods, as far as it picks the same times each day. Also returns whether that covers
    INTERVAL completely.
    """
    frequency, chosen = parts["FREQ"], parts.get("BYSETPOS", ())
    hours = parts.get("BYHOUR") or _default_numbers(frequency >= HOURLY, 24, start // HOUR)
    minutes = parts.get("BYMINUTE") or _default_numbers(frequency >= MINUTELY, 60, start // 60 % 60)
    seconds = parts.get("BYSECOND") or _default_numbers(frequency >= SECONDLY, 60, start % 60)
    if chosen and frequency == SECONDLY and not {1, -1} & set(chosen):
        seconds = ()
    if chosen and frequency == MINUTELY:
        seconds = tuple(seconds[at] for at in chosen_indices(chosen, len(seconds)))
    offsets: Sequence[int] = _hour_offsets(minutes, seconds)
    if chosen and frequency == HOURLY:
        offsets = [offsets[at] for at in chosen_indices(chosen, len(offsets))]
    times = TimesOfDay(hours, offsets)
    if chosen and frequency == DAILY:
        picked = [times[at] for at in chosen_indices(chosen, len(times))]
        return TimesOfDay((0,), picked, DAY), True
    return _apply_interval(times, frequency, parts.get("INTERVAL", 1), start)


def _apply_interval(
    times: TimesOfDay, frequency: int, interval: int, start: int
) -> tuple[TimesOfDay, bool]:
    """Keep the times that INTERVAL can reach, and return whether it reaches them every day.

    Periods are numbered from midnight. In days of whole periods, the numbers that INTERVAL reaches
    are equal modulo the common divisor of INTERVAL and the periods of a day.
    """
    if frequency <= DAILY or interval == 1:
        return times, True
    unit = SECONDS_IN[frequency]
    per_hour = HOUR // unit
    step = gcd(interval, DAY // unit)
    hourly = gcd(step, per_hour)
    offsets = [at for at in times.offsets if (at // unit - start // unit) % hourly == 0]
    hours = times.starts
    if step % per_hour == 0:
        every = step // per_hour
        hours = [hour for hour in hours if (hour - start // HOUR) % every == 0]
    is_settled = interval == step and (hourly == step or step % per_hour == 0)
    return TimesOfDay(hours, offsets), is_settled


def _default_numbers(every: bool, size: int, of_start: int) -> tuple[int, ...]:
    return tuple(range(size)) if every else (of_start,)


@lru_cache(maxsize=256)
def _hour_offsets(minutes: tuple[int, ...], seconds: tuple[int, ...]) -> Sequence[int]:
    return tuple(minute * 60 + second for minute, second in product(minutes, seconds))
