"""Fire times that people write as wall times: cron expressions and recurrence rules.

`WallTimes` knows only wall times. The functions here turn them into instants, by one of two rules:

- *fixed*: every wall time is one fire time. In a spring gap it is at the end of the gap, and
  several wall times in the same gap are one fire time. In a repeated hour the first pass counts.
  Debian's cron has treated jobs at fixed hours like this since 1998, and RFC 5545, section 3.3.5,
  requires it for repeated times.
- *real*: every instant at which clocks show the wall time is a fire time. Cron treats wildcard
  hours and minutes like this: none in the gap, both passes in autumn, and never a pause of two
  hours.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cron_tasks.schedules.budget import Budget
from cron_tasks.schedules.zones import (
    ONE_DAY,
    REACH,
    SECOND,
    find_clock_change,
    instants_showing,
    to_wall_time,
)

#: A search gives up after this many years without a match. The rarest date that people mean,
#: 29 February on a given weekday, takes up to 40.
_MAX_YEARS = 100

#: A search by the *real* rule gives up after this many clock changes and wall times in a gap. Only
#: an expression that fires in the hour of a gap alone meets so many in a row.
_MAX_GAPS = 50


class WallTimes(Protocol):
    """Wall times in whole seconds.

    Both methods may raise OverflowError at the end of the calendar, and TooMuchWork.
    """

    def at_or_after(self, wall: datetime, budget: Budget) -> datetime | None: ...
    def at_or_before(self, wall: datetime, budget: Budget) -> datetime | None: ...


#: Hours, minutes and seconds, each sorted.
ClockFields = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Every day of `months` that `matches`, at each combination of hour, minute and second."""

    clock: ClockFields
    months: frozenset[int]
    matches: Callable[[date], bool]
    _mirrored: list[tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mirrored = [tuple(-number for number in reversed(values)) for values in self.clock]
        object.__setattr__(self, "_mirrored", mirrored)

    def at_or_after(self, wall: datetime, budget: Budget) -> datetime | None:
        return self._seek(wall, self.clock, 1, budget)

    def at_or_before(self, wall: datetime, budget: Budget) -> datetime | None:
        return self._seek(wall, self._mirrored, -1, budget)

    def _seek(
        self, wall: datetime, clock: Sequence[Sequence[int]], sign: int, budget: Budget
    ) -> datetime | None:
        """Search forwards, or backwards with `sign` -1 and the numbers of `clock` negated."""
        day: date | None = wall.date()
        found = None
        if wall.month in self.months and self.matches(wall):
            found = _find_least(clock, [sign * wall.hour, sign * wall.minute, sign * wall.second])
        if not found:
            day = self._find_day_beyond(wall.date(), sign * ONE_DAY, budget)
            found = [part[0] for part in clock]
        if not day:
            return None
        hour, minute, second = (sign * number for number in found)
        return datetime(day.year, day.month, day.day, hour, minute, second)

    def _find_day_beyond(self, start: date, step: timedelta, budget: Budget) -> date | None:
        day = start + step
        while abs(day.year - start.year) <= _MAX_YEARS:
            budget.spend()
            if day.month not in self.months:
                last = monthrange(day.year, day.month)[1]
                day = day.replace(day=last if step > timedelta() else 1)
            elif self.matches(day):
                return day
            day += step
        return None


def _find_least(parts: Sequence[Sequence[int]], floor: Sequence[int]) -> list[int] | None:
    """Return the least choice of one number a part that is not below `floor`, or None."""
    if not parts:
        return []
    numbers, rest = parts[0], parts[1:]
    at = bisect_left(numbers, floor[0])
    if at < len(numbers) and numbers[at] == floor[0]:
        if (tail := _find_least(rest, floor[1:])) is not None:
            return [floor[0], *tail]
        at += 1
    return [numbers[at], *(part[0] for part in rest)] if at < len(numbers) else None


def fixed_after(tz: ZoneInfo, walls: WallTimes, when: datetime, budget: Budget) -> datetime | None:
    """Return the first fire time after `when`, by the *fixed* rule."""
    wall = walls.at_or_after(last_passed_wall(tz, when) + SECOND, budget)
    return instants_showing(tz, wall)[0] if wall else None


def fixed_latest(tz: ZoneInfo, walls: WallTimes, when: datetime, budget: Budget) -> datetime | None:
    """Return the last fire time at or before `when`, by the *fixed* rule."""
    wall = walls.at_or_before(last_passed_wall(tz, when), budget)
    return instants_showing(tz, wall)[0] if wall else None


def last_passed_wall(tz: ZoneInfo, when: datetime) -> datetime:
    """Return the last second of wall time whose first pass has begun by `when`.

    The first pass of all earlier seconds has begun, too.
    """
    when = when.replace(microsecond=0)
    wall = to_wall_time(tz, when)
    if not wall.fold:
        return wall
    back = find_clock_change(tz, *instants_showing(tz, wall))
    assert back is not None
    return to_wall_time(tz, back - SECOND)


def real_after(tz: ZoneInfo, walls: WallTimes, when: datetime, budget: Budget) -> datetime | None:
    """Return the first fire time after `when`, by the *real* rule."""
    start = when.replace(microsecond=0) + SECOND
    for _ in range(_MAX_GAPS):
        if (wall := walls.at_or_after(to_wall_time(tz, start), budget)) is None:
            return None
        first, last = instants_showing(tz, wall)
        found = first if first >= start else last
        if change := find_clock_change(tz, start, found):
            start = change
        elif to_wall_time(tz, found) == wall:
            return found
        else:
            start = found  # the wall time falls into a gap, which ends here
    return None


def real_latest(tz: ZoneInfo, walls: WallTimes, when: datetime, budget: Budget) -> datetime | None:
    """Return the last fire time at or before `when`, by the *real* rule."""
    end = when.replace(microsecond=0)
    for _ in range(_MAX_GAPS):
        if (wall := walls.at_or_before(to_wall_time(tz, end), budget)) is None:
            return None
        first, last = instants_showing(tz, wall)
        found = last if last <= end else first
        if change := find_clock_change(tz, max(found, end - REACH), end):
            end = change - SECOND
        elif to_wall_time(tz, found) == wall:
            return found
        else:
            end = found - SECOND
    return None
