"""Ticks that people write as wall times: cron expressions and recurrence rules.

`Walls` knows wall times only; the functions here turn them into instants, by one of two rules:

- *fixed*: every wall time is one tick. In a spring gap it is at the gap's end (several in the
  same gap are one tick), of a repeated hour the first pass counts. So has Debian's cron done for
  jobs at fixed hours since 1998, and RFC 5545 3.3.5 says the same of repeated times.
- *real*: every instant that shows the wall time is a tick. So cron treats wildcard hours and
  minutes: none in the gap, both passes in autumn, and never a pause of two hours.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cron_tasks.schedules._clock import DAY, SECOND, clock_change, local, showing

#: A search gives up after this many years without a match. The rarest date that people mean,
#: 29 February on a given weekday, takes up to 40.
HORIZON = 100

#: No zone ever repeated more than a day, so a clock change farther off cannot hide a tick.
_REACH = timedelta(hours=25)


class Walls(Protocol):
    """Wall times in whole seconds. Both may raise OverflowError at the end of the calendar."""

    def at_or_after(self, wall: datetime) -> datetime | None: ...
    def at_or_before(self, wall: datetime) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Every day of `months` that `matches`, at each of hours x minutes x seconds (sorted)."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    months: frozenset[int]
    matches: Callable[[date], bool]

    def at_or_after(self, wall: datetime) -> datetime | None:
        day: date | None = wall.date()
        clock = self._clock_from(wall.hour, wall.minute, wall.second) if self._has(wall) else None
        if clock is None:
            clock = self.hours[0], self.minutes[0], self.seconds[0]
            day = self._day_after(wall)
        return datetime(day.year, day.month, day.day, *clock) if day else None

    def at_or_before(self, wall: datetime) -> datetime | None:
        day: date | None = wall.date()
        clock = self._clock_until(wall.hour, wall.minute, wall.second) if self._has(wall) else None
        if clock is None:
            clock = self.hours[-1], self.minutes[-1], self.seconds[-1]
            day = self._day_before(wall)
        return datetime(day.year, day.month, day.day, *clock) if day else None

    def _has(self, wall: datetime) -> bool:
        return wall.month in self.months and self.matches(wall.date())

    def _day_after(self, wall: datetime) -> date | None:
        day, horizon = wall.date() + DAY, wall.year + HORIZON
        while day.year <= horizon:
            if day.month not in self.months:
                day = (day.replace(day=28) + 4 * DAY).replace(day=1)
            elif self.matches(day):
                return day
            else:
                day += DAY
        return None

    def _day_before(self, wall: datetime) -> date | None:
        day, horizon = wall.date() - DAY, wall.year - HORIZON
        while day.year >= horizon:
            if day.month not in self.months:
                day = day.replace(day=1) - DAY
            elif self.matches(day):
                return day
            else:
                day -= DAY
        return None

    def _clock_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The first time of day at or after this one."""
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        h = bisect_left(hours, hour)
        if h < len(hours) and hours[h] == hour:
            m = bisect_left(minutes, minute)
            if m < len(minutes) and minutes[m] == minute:
                s = bisect_left(seconds, second)
                if s < len(seconds):
                    return hour, minute, seconds[s]
                m += 1
            if m < len(minutes):
                return hour, minutes[m], seconds[0]
            h += 1
        return (hours[h], minutes[0], seconds[0]) if h < len(hours) else None

    def _clock_until(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The last time of day at or before this one."""
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        h = bisect_right(hours, hour) - 1
        if h >= 0 and hours[h] == hour:
            m = bisect_right(minutes, minute) - 1
            if m >= 0 and minutes[m] == minute:
                s = bisect_right(seconds, second) - 1
                if s >= 0:
                    return hour, minute, seconds[s]
                m -= 1
            if m >= 0:
                return hour, minutes[m], seconds[-1]
            h -= 1
        return (hours[h], minutes[-1], seconds[-1]) if h >= 0 else None


def fixed_after(tz: ZoneInfo, walls: Walls, when: datetime) -> datetime | None:
    wall = walls.at_or_after(passed(tz, when) + SECOND)
    return showing(tz, wall)[0] if wall else None


def fixed_latest(tz: ZoneInfo, walls: Walls, when: datetime) -> datetime | None:
    wall = walls.at_or_before(passed(tz, when))
    return showing(tz, wall)[0] if wall else None


def passed(tz: ZoneInfo, when: datetime) -> datetime:
    """The last second of wall time whose first pass has begun by `when`; so have all before it."""
    when = when.replace(microsecond=0)
    wall = local(tz, when)
    if not wall.fold:
        return wall
    first, second = showing(tz, wall)
    back = clock_change(tz, first, second)
    assert back is not None
    return local(tz, back - SECOND)


def real_after(tz: ZoneInfo, walls: Walls, when: datetime) -> datetime | None:
    start = when.replace(microsecond=0) + SECOND
    while (wall := walls.at_or_after(local(tz, start))) is not None:
        first, last = showing(tz, wall)
        tick = first if first >= start else last
        if change := clock_change(tz, start, min(tick, start + _REACH)):
            start = change
        elif local(tz, tick) == wall:
            return tick
        else:
            start = tick  # the wall time falls into a gap, which ends here
    return None


def real_latest(tz: ZoneInfo, walls: Walls, when: datetime) -> datetime | None:
    end = when.replace(microsecond=0)
    while (wall := walls.at_or_before(local(tz, end))) is not None:
        first, last = showing(tz, wall)
        tick = last if last <= end else first
        if change := clock_change(tz, max(tick, end - _REACH), end):
            end = change - SECOND
        elif local(tz, tick) == wall:
            return tick
        else:
            end = tick - SECOND
    return None
