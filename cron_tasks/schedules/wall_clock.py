"""Ticks that people write as wall times: cron expressions and recurrence rules.

`Walls` knows wall times only; the functions here turn them into instants, by one of two rules:

- *fixed*: every wall time is one tick. In a spring gap it is at the gap's end (several in the
  same gap are one tick), of a repeated hour the first pass counts. So has Debian's cron done for
  jobs at fixed hours since 1998, and RFC 5545 3.3.5 says the same of repeated times.
- *real*: every instant that shows the wall time is a tick. So cron treats wildcard hours and
  minutes: none in the gap, both passes in autumn, and never a pause of two hours.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cron_tasks.schedules.budget import Work
from cron_tasks.schedules.zones import DAY, REACH, SECOND, clock_change, local, showing

#: A search gives up after this many years without a match. The rarest date that people mean,
#: 29 February on a given weekday, takes up to 40.
HORIZON = 100

#: A search in real time gives up after so many clock changes and wall times that a gap swallows.
#: Only an expression that fires in nothing but the hour of a gap meets so many in a row.
_MOST_GAPS = 50


class Walls(Protocol):
    """Wall times in whole seconds.

    Both may raise OverflowError at the end of the calendar, and TooMuchWork.
    """

    def at_or_after(self, wall: datetime, work: Work) -> datetime | None: ...
    def at_or_before(self, wall: datetime, work: Work) -> datetime | None: ...


Clock = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Every day of `months` that `matches`, at each of hours x minutes x seconds (sorted)."""

    clock: Clock
    months: frozenset[int]
    matches: Callable[[date], bool]
    _mirrored: list[tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mirrored = [tuple(-number for number in reversed(values)) for values in self.clock]
        object.__setattr__(self, "_mirrored", mirrored)

    def at_or_after(self, wall: datetime, work: Work) -> datetime | None:
        return self._seek(wall, self.clock, 1, work)

    def at_or_before(self, wall: datetime, work: Work) -> datetime | None:
        return self._seek(wall, self._mirrored, -1, work)

    def _seek(
        self, wall: datetime, clock: Sequence[Sequence[int]], sign: int, work: Work
    ) -> datetime | None:
        day: date | None = wall.date()
        found = None
        if wall.month in self.months and self.matches(wall):
            found = _least(clock, [sign * wall.hour, sign * wall.minute, sign * wall.second])
        if not found:
            day = self._day_beyond(wall.date(), sign * DAY, work)
            found = [part[0] for part in clock]
        if not day:
            return None
        hour, minute, second = (sign * number for number in found)
        return datetime(day.year, day.month, day.day, hour, minute, second)

    def _day_beyond(self, start: date, step: timedelta, work: Work) -> date | None:
        day = start + step
        while abs(day.year - start.year) <= HORIZON:
            work.spend()
            if day.month not in self.months:
                last = monthrange(day.year, day.month)[1]
                day = day.replace(day=last if step > timedelta() else 1)
            elif self.matches(day):
                return day
            day += step
        return None


def _least(parts: Sequence[Sequence[int]], floor: Sequence[int]) -> list[int] | None:
    """The least choice of one number a part that is not below `floor`; None if all are."""
    if not parts:
        return []
    numbers, rest = parts[0], parts[1:]
    at = bisect_left(numbers, floor[0])
    if at < len(numbers) and numbers[at] == floor[0]:
        if (tail := _least(rest, floor[1:])) is not None:
            return [floor[0], *tail]
        at += 1
    return [numbers[at], *(part[0] for part in rest)] if at < len(numbers) else None


def fixed_after(tz: ZoneInfo, walls: Walls, when: datetime, work: Work) -> datetime | None:
    wall = walls.at_or_after(passed(tz, when) + SECOND, work)
    return showing(tz, wall)[0] if wall else None


def fixed_latest(tz: ZoneInfo, walls: Walls, when: datetime, work: Work) -> datetime | None:
    wall = walls.at_or_before(passed(tz, when), work)
    return showing(tz, wall)[0] if wall else None


def passed(tz: ZoneInfo, when: datetime) -> datetime:
    """The last second of wall time whose first pass has begun by `when`; so have all before it."""
    when = when.replace(microsecond=0)
    wall = local(tz, when)
    if not wall.fold:
        return wall
    back = clock_change(tz, *showing(tz, wall))
    assert back is not None
    return local(tz, back - SECOND)


def real_after(tz: ZoneInfo, walls: Walls, when: datetime, work: Work) -> datetime | None:
    start = when.replace(microsecond=0) + SECOND
    for _ in range(_MOST_GAPS):
        if (wall := walls.at_or_after(local(tz, start), work)) is None:
            return None
        first, last = showing(tz, wall)
        tick = first if first >= start else last
        if change := clock_change(tz, start, tick):
            start = change
        elif local(tz, tick) == wall:
            return tick
        else:
            start = tick  # the wall time falls into a gap, which ends here
    return None


def real_latest(tz: ZoneInfo, walls: Walls, when: datetime, work: Work) -> datetime | None:
    end = when.replace(microsecond=0)
    for _ in range(_MOST_GAPS):
        if (wall := walls.at_or_before(local(tz, end), work)) is None:
            return None
        first, last = showing(tz, wall)
        tick = last if last <= end else first
        if change := clock_change(tz, max(tick, end - REACH), end):
            end = change - SECOND
        elif local(tz, tick) == wall:
            return tick
        else:
            end = tick - SECOND
    return None
