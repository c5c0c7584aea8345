"""Recurrence rules of RFC 5545, walked from any time in either direction.

python-dateutil walks from DTSTART only, step by step: a rule of every minute that began three
years ago costs seconds for each next time, and one that never matches runs to the year 9999. Here
the cost does not depend on DTSTART and every search is bounded; dateutil is the oracle in tests.

Occurrences are wall times of the zone: at a clock change each is one tick, see `_wall`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cron_tasks.schedules import _wall
from cron_tasks.schedules._clock import DAY, FIRST, LAST, SECOND, utc
from cron_tasks.schedules._rrule_days import Days
from cron_tasks.schedules._rrule_english import explain
from cron_tasks.schedules._rrule_text import FREQUENCIES, Rule, read
from cron_tasks.schedules._words import Fault

_YEARLY, _MONTHLY, _WEEKLY, _DAILY, _HOURLY, _MINUTELY, _SECONDLY = range(len(FREQUENCIES))
_STEPS = 20_000


@dataclass(slots=True)
class _Budget:
    """Ends a search for what may never come, after so many steps or years from `origin`."""

    origin: datetime
    left: int = _STEPS

    def spend(self, wall: datetime) -> None:
        self.left -= 1
        if self.left < 0 or abs(wall.year - self.origin.year) > _wall.HORIZON:
            raise OverflowError("nothing found within reach")


@dataclass(frozen=True, slots=True)
class _Periods:
    """Time cut at the frequency of a rule: each so many months, or else `unit` long."""

    anchor: datetime
    months: int = 0
    unit: timedelta = DAY

    @classmethod
    def of(cls, rule: Rule, start: datetime) -> "_Periods":
        """Period 0 holds DTSTART."""
        day = start.replace(hour=0, minute=0, second=0)
        match FREQUENCIES[rule.frequency]:
            case "YEARLY":
                return cls(day.replace(month=1, day=1), months=12)
            case "MONTHLY":
                return cls(day.replace(day=1), months=1)
            case "WEEKLY":
                return cls(day - timedelta((day.weekday() - rule.week_start) % 7), unit=7 * DAY)
            case "DAILY":
                return cls(day)
            case "HOURLY":
                return cls(start.replace(minute=0, second=0), unit=timedelta(hours=1))
            case "MINUTELY":
                return cls(start.replace(second=0), unit=timedelta(minutes=1))
            case _:
                return cls(start, unit=SECOND)

    def index(self, wall: datetime) -> int:
        if not self.months:
            return (wall - self.anchor) // self.unit
        months = (wall.year - self.anchor.year) * 12 + wall.month - self.anchor.month
        return months // self.months

    def start(self, index: int) -> datetime:
        """Raises OverflowError beyond the calendar."""
        if not self.months:
            return self.anchor + index * self.unit
        years, months = divmod(index * self.months + self.anchor.month - 1, 12)
        if not 1 <= self.anchor.year + years <= 9999:
            raise OverflowError("beyond the calendar")
        return self.anchor.replace(year=self.anchor.year + years, month=months + 1)

    def end(self, index: int) -> datetime:
        """Its last second."""
        return self.start(index + 1) - SECOND


@dataclass(frozen=True, slots=True)
class _Occurrences:
    """The wall times of a rule: those of `grid` in every interval-th period, from first to last."""

    grid: _wall.Grid
    periods: _Periods
    interval: int
    positions: tuple[int, ...]
    first: datetime
    last: datetime = datetime.max

    def at_or_after(self, wall: datetime) -> datetime | None:
        wall = max(wall, self.first)
        return self.found_from(wall, _Budget(wall))

    def found_from(self, wall: datetime, budget: _Budget) -> datetime | None:
        search = self._picked_from if self.positions else self._spaced_from
        found = search(wall, budget)
        return found if found and found <= self.last else None

    def at_or_before(self, wall: datetime) -> datetime | None:
        wall = min(wall, self.last)
        search = self._picked_until if self.positions else self._spaced_until
        found = search(wall, _Budget(wall))
        return found if found and found >= self.first else None

    def _spaced_from(self, wall: datetime, budget: _Budget) -> datetime | None:
        while found := self.grid.at_or_after(wall):
            budget.spend(found)
            index = self.periods.index(found)
            if not (late := index % self.interval):
                return found
            wall = self.periods.start(index - late + self.interval)
        return None

    def _spaced_until(self, wall: datetime, budget: _Budget) -> datetime | None:
        while wall >= self.first and (found := self.grid.at_or_before(wall)):
            budget.spend(found)
            index = self.periods.index(found)
            if not (late := index % self.interval):
                return found
            wall = self.periods.end(index - late)
        return None

    def _picked_from(self, wall: datetime, budget: _Budget) -> datetime | None:
        start = self.periods.start(self.periods.index(wall))
        while found := self._spaced_from(start, budget):
            index = self.periods.index(found)
            if picks := [pick for pick in self._picks(index, budget) if pick >= wall]:
                return min(picks)
            start = self.periods.start(index + 1)
        return None

    def _picked_until(self, wall: datetime, budget: _Budget) -> datetime | None:
        end = self.periods.end(self.periods.index(wall))
        while found := self._spaced_until(end, budget):
            index = self.periods.index(found)
            if picks := [pick for pick in self._picks(index, budget) if pick <= wall]:
                return max(picks)
            end = self.periods.end(index - 1)
        return None

    def _picks(self, index: int, budget: _Budget) -> Iterator[datetime]:
        """What BYSETPOS takes from one period, walking no farther than its highest position."""
        start, end = self.periods.start(index), self.periods.end(index)
        wall = start
        for position in range(1, max(self.positions) + 1):
            budget.spend(wall)
            found = self.grid.at_or_after(wall)
            if not found or found > end:
                break
            if position in self.positions:
                yield found
            wall = found + SECOND
        wall = end
        for position in range(-1, min(self.positions) - 1, -1):
            budget.spend(wall)
            found = self.grid.at_or_before(wall)
            if not found or found < start:
                break
            if position in self.positions:
                yield found
            wall = found - SECOND


def _occurrences(rule: Rule, start: datetime, tz: ZoneInfo) -> _Occurrences:
    """What the rule leaves open comes from DTSTART. Raises Fault if COUNT cannot be counted."""
    numbers, frequency = rule.numbers, rule.frequency
    months, month_days, weekdays = numbers.get("BYMONTH"), numbers.get("BYMONTHDAY"), rule.weekdays
    if not (weekdays or month_days or numbers.keys() & {"BYWEEKNO", "BYYEARDAY"}):
        if frequency == _YEARLY:
            months = months or (start.month,)
        if frequency in (_YEARLY, _MONTHLY):
            month_days = (start.day,)
        elif frequency == _WEEKLY:
            weekdays = ((0, start.weekday()),)

    def clock(part: str, of_start: int, size: int, unit: int) -> tuple[int, ...]:
        return numbers.get(part) or (tuple(range(size)) if frequency >= unit else (of_start,))

    found = _Occurrences(
        grid=_wall.Grid(
            clock("BYHOUR", start.hour, 24, _HOURLY),
            clock("BYMINUTE", start.minute, 60, _MINUTELY),
            clock("BYSECOND", start.second, 60, _SECONDLY),
            frozenset(months or range(1, 13)),
            Days(rule, weekdays, month_days or ()),
        ),
        periods=_Periods.of(rule, start),
        interval=rule.interval,
        positions=numbers.get("BYSETPOS", ()),
        first=start,
        last=_until(rule, tz),
    )
    return replace(found, last=_counted(found, rule.count)) if rule.count else found


def _until(rule: Rule, tz: ZoneInfo) -> datetime:
    if not rule.until:
        return datetime.max
    return _wall.passed(tz, utc(rule.until)) if rule.until.tzinfo else rule.until


def _counted(occurrences: _Occurrences, count: int) -> datetime:
    """The last of so many occurrences; a time before DTSTART if there is none."""
    last, spent = occurrences.first - SECOND, 0
    for _ in range(count):
        budget = _Budget(last)
        try:
            found = occurrences.found_from(last + SECOND, budget)
        except OverflowError:
            break
        spent += _STEPS - budget.left
        if spent > 5 * _STEPS:
            raise Fault(f"COUNT={count} takes too long to count; end the rule with UNTIL")
        if not found:
            break
        last = found
    return last


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The ticks of a rule's text whose DTSTART is the wall time `start` of a zone."""

    text: str
    start: datetime
    tz: ZoneInfo
    _walls: _Occurrences = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises Fault."""
        if not FIRST.year <= self.start.year < LAST.year:
            raise Fault("DTSTART lies outside the years 2 to 9998")
        walls = _occurrences(read(self.text), self.start, self.tz)
        object.__setattr__(self, "_walls", walls)

    def after(self, when: datetime) -> datetime | None:
        return _wall.fixed_after(self.tz, self._walls, when)

    def latest(self, when: datetime) -> datetime | None:
        return _wall.fixed_latest(self.tz, self._walls, when)

    def describe(self) -> str:
        return f"{explain(read(self.text), self.start)} ({self.tz.key})"
