"""The times of day of a recurrence rule, in order and without listing all 86,400 seconds."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd

from cron_tasks.schedules.rrule_text import DAILY, HOURLY, MINUTELY, SECONDLY, Parts

#: Seconds in a period of each frequency that is at most a day.
UNITS = {DAILY: 86_400, HOURLY: 3_600, MINUTELY: 60, SECONDLY: 1}


@dataclass(frozen=True, slots=True)
class Clock:
    """Each of `offsets`, in seconds, after each of `starts`, which are multiples of `span` seconds.

    Both are sorted; an offset is shorter than `span`. Works like a sorted list of seconds of a day.
    """

    starts: Sequence[int]
    offsets: Sequence[int]
    span: int = 3_600

    def __len__(self) -> int:
        return len(self.starts) * len(self.offsets)

    def __getitem__(self, at: int) -> int:
        start, offset = divmod(at, len(self.offsets))
        return self.starts[start] * self.span + self.offsets[offset]

    def before(self, second: int) -> int:
        """Return how many times are earlier than `second`."""
        start, offset = divmod(second, self.span)
        at = bisect_left(self.starts, start)
        count = at * len(self.offsets)
        if at < len(self.starts) and self.starts[at] == start:
            count += bisect_left(self.offsets, offset)
        return count


def places(chosen: Sequence[int], size: int) -> list[int]:
    """Return the indices that BYSETPOS names in a list of `size`, in order."""
    indices = (at - 1 if at > 0 else size + at for at in chosen)
    return sorted({at for at in indices if 0 <= at < size})


def clock(parts: Parts, start: int) -> tuple[Clock, bool]:
    """Return the times of day of a rule that begins at second `start` of a day.

    Takes account of BYSETPOS for periods of up to a day, and of INTERVAL for shorter ones as far as
    it picks the same times each day. Also returns whether INTERVAL is thereby settled.
    """
    frequency, chosen = parts["FREQ"], parts.get("BYSETPOS", ())
    hours = parts.get("BYHOUR") or _default(frequency >= HOURLY, 24, start // 3_600)
    minutes = parts.get("BYMINUTE") or _default(frequency >= MINUTELY, 60, start // 60 % 60)
    seconds = parts.get("BYSECOND") or _default(frequency >= SECONDLY, 60, start % 60)
    if chosen and frequency == SECONDLY and not {1, -1} & set(chosen):
        seconds = ()
    if chosen and frequency == MINUTELY:
        seconds = tuple(seconds[at] for at in places(chosen, len(seconds)))
    offsets: Sequence[int] = _offsets(minutes, seconds)
    if chosen and frequency == HOURLY:
        offsets = [offsets[at] for at in places(chosen, len(offsets))]
    times = Clock(hours, offsets)
    if chosen and frequency == DAILY:
        picked = [times[at] for at in places(chosen, len(times))]
        return Clock((0,), picked, UNITS[DAILY]), True
    return _in_turn(times, frequency, parts.get("INTERVAL", 1), start)


def _in_turn(times: Clock, frequency: int, interval: int, start: int) -> tuple[Clock, bool]:
    """Keep the times that INTERVAL can reach at all, and say whether it reaches each of them.

    Periods are numbered from midnight. In days of whole periods, the numbers that INTERVAL reaches
    are equal modulo the common divisor of INTERVAL and the periods of a day.
    """
    if frequency <= DAILY or interval == 1:
        return times, True
    unit = UNITS[frequency]
    step = gcd(interval, UNITS[DAILY] // unit)
    hourly = gcd(step, UNITS[HOURLY] // unit)
    offsets = [at for at in times.offsets if (at // unit - start // unit) % hourly == 0]
    hours = times.starts
    if step % (UNITS[HOURLY] // unit) == 0:
        every = step * unit // UNITS[HOURLY]
        hours = [hour for hour in hours if (hour - start // 3_600) % every == 0]
    settled = interval == step and (hourly == step or step % (UNITS[HOURLY] // unit) == 0)
    return Clock(hours, offsets), settled


def _default(every: bool, size: int, of_start: int) -> tuple[int, ...]:
    return tuple(range(size)) if every else (of_start,)


@lru_cache(maxsize=256)
def _offsets(minutes: tuple[int, ...], seconds: tuple[int, ...]) -> Sequence[int]:
    return tuple(minute * 60 + second for minute, second in product(minutes, seconds))
