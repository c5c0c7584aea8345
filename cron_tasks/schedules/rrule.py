"""Recurrence rules of RFC 5545, walked from any time in either direction.

python-dateutil walks from DTSTART only, step by step: a rule of every minute that began three
years ago costs seconds for each next time, and one that never matches runs to the year 9999. Here
the cost does not depend on DTSTART and every search is bounded; dateutil is the oracle in tests.

Occurrences are wall times of the zone: at a clock change each is one tick, see `walls`.
"""

import re
from calendar import isleap, monthrange
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import groupby, islice
from typing import ClassVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules import walls
from cron_tasks.schedules.clock import DAY, FIRST, LAST, SECOND, local, utc, wall_text
from cron_tasks.schedules.rrule_text import FREQUENCIES, Parts, read
from cron_tasks.schedules.words import Fault
from cron_tasks.text import shown

ZONE = re.compile(r"^\s*DTSTART;(?:\S*;)?TZID=([^:;\s]*)", re.IGNORECASE | re.MULTILINE)
_YEARLY, _MONTHLY, _WEEKLY, _DAILY, _HOURLY, _MINUTELY, _SECONDLY = range(len(FREQUENCIES))
_NAMES = ("year", "month", "week", "day", "hour", "minute", "second")
#: Of one search, and of counting to COUNT.
_MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class _Days:
    """The BY parts that choose days; those not given let every day pass."""

    parts: Parts
    month_days: frozenset[int]
    weekdays: tuple[tuple[int, int], ...]

    def __call__(self, day: date) -> bool:
        parts, today = self.parts, day.weekday()
        if self.weekdays and not any(weekday == today for _, weekday in self.weekdays):
            return False
        if self.month_days and self.month_days.isdisjoint(_places(*_in_month(day))):
            return False
        if "BYYEARDAY" in parts and _places(*_in_year(day)).isdisjoint(parts["BYYEARDAY"]):
            return False
        if "BYWEEKNO" in parts:  # a week belongs to the year that holds its fourth day
            middle = day + timedelta(3 - (today - parts.get("WKST", 0)) % 7)
            if _places(*_in_year(middle), 7).isdisjoint(parts["BYWEEKNO"]):
                return False
        if not self.weekdays or (0, today) in self.weekdays:
            return True
        monthly = parts["FREQ"] == _MONTHLY or "BYMONTH" in parts
        nths = _places(*(_in_month(day) if monthly else _in_year(day)), 7)
        return any((nth, today) in self.weekdays for nth in nths)


def _in_month(day: date) -> tuple[int, int]:
    return day.day, monthrange(day.year, day.month)[1]


def _in_year(day: date) -> tuple[int, int]:
    return day.timetuple().tm_yday, 365 + isleap(day.year)


def _places(number: int, length: int, size: int = 1) -> set[int]:
    """Where the number-th of so many days stands, in steps of `size`, from both ends."""
    return {(number - 1) // size + 1, -((length - number) // size + 1)}


@dataclass(frozen=True, slots=True)
class _Occurrences:
    """The wall times of a rule: those of `grid` in every interval-th period, from first to last.

    A period is so many `months` or else one `unit` long, and has a number.
    """

    grid: walls.Grid
    interval: int
    positions: tuple[int, ...]
    first: datetime
    last: datetime
    months: int = 0
    unit: timedelta = DAY
    origin: datetime = datetime.min

    def at_or_after(self, wall: datetime) -> datetime | None:
        found = next(self.walk(max(wall, self.first)), None)
        return found if found and found <= self.last else None

    def at_or_before(self, wall: datetime) -> datetime | None:
        found = next(self.walk(min(wall, self.last), back=True), None)
        return found if found and found >= self.first else None

    def walk(self, wall: datetime, *, back: bool = False) -> Iterator[datetime]:
        """From `wall` on, whatever `first` and `last` are. Raises OverflowError when too long."""
        if not self.positions:
            yield from self._spaced(wall, back)
            return
        number = self._number(wall)
        edge = self._start(number + 1) - SECOND if back else self._start(number)
        for _, group in groupby(self._spaced(edge, back), self._number):
            times = sorted(group)
            size = len(times)
            indices = {at - 1 if at > 0 else size + at for at in self.positions}
            for at in sorted(indices.intersection(range(size)), reverse=back):
                if times[at] <= wall if back else times[at] >= wall:
                    yield times[at]

    def _spaced(self, wall: datetime, back: bool) -> Iterator[datetime]:
        """All of the grid in the periods that `interval` leaves."""
        find = self.grid.at_or_before if back else self.grid.at_or_after
        phase, origin = self._number(self.first), wall.year
        for _ in range(_MOST_STEPS):
            found = find(wall)
            if not found or (back and found < self._start(phase)):
                return
            number = self._number(found)
            late = (number - phase) % self.interval
            if not late:
                yield found
                wall, origin = found + (-SECOND if back else SECOND), found.year
            elif back:
                wall = self._start(number - late + 1) - SECOND
            else:
                wall = self._start(number - late + self.interval)
            if abs(wall.year - origin) > walls.HORIZON:
                return
        raise OverflowError("nothing found within reach")

    def _number(self, wall: datetime) -> int:
        if self.months:
            return (wall.year * 12 + wall.month - 1) // self.months
        return (wall - self.origin) // self.unit

    def _start(self, number: int) -> datetime:
        """Raises OverflowError beyond the calendar."""
        if not self.months:
            return self.origin + number * self.unit
        year, month = divmod(number * self.months, 12)
        if not 1 <= year <= 9999:
            raise OverflowError("beyond the calendar")
        return datetime(year, month + 1, 1)


def _occurrences(parts: Parts, start: datetime, tz: ZoneInfo) -> _Occurrences:
    """What the rule leaves open comes from DTSTART. Raises Fault if COUNT cannot be counted."""
    frequency, months = parts["FREQ"], parts.get("BYMONTH")
    month_days, weekdays = parts.get("BYMONTHDAY", ()), parts.get("BYDAY", ())
    if not parts.keys() & {"BYDAY", "BYMONTHDAY", "BYWEEKNO", "BYYEARDAY"}:
        if frequency == _YEARLY:
            months = months or (start.month,)
        if frequency in (_YEARLY, _MONTHLY):
            month_days = (start.day,)
        elif frequency == _WEEKLY:
            weekdays = ((0, start.weekday()),)

    def clock(part: str, of_start: int, size: int, unit: int) -> tuple[int, ...]:
        return parts.get(part) or (tuple(range(size)) if frequency >= unit else (of_start,))

    found = _Occurrences(
        walls.Grid(
            (
                clock("BYHOUR", start.hour, 24, _HOURLY),
                clock("BYMINUTE", start.minute, 60, _MINUTELY),
                clock("BYSECOND", start.second, 60, _SECONDLY),
            ),
            frozenset(months or range(1, 13)),
            _Days(parts, frozenset(month_days), weekdays),
        ),
        parts.get("INTERVAL", 1),
        parts.get("BYSETPOS", ()),
        first=start,
        last=_until(parts.get("UNTIL"), tz),
        months={_YEARLY: 12, _MONTHLY: 1}.get(frequency, 0),
        unit=timedelta(seconds=(604_800, 86_400, 3_600, 60, 1)[max(frequency, _WEEKLY) - _WEEKLY]),
        origin=datetime.min + parts.get("WKST", 0) * DAY * (frequency == _WEEKLY),
    )
    return replace(found, last=_counted(found, parts["COUNT"])) if "COUNT" in parts else found


def _until(until: datetime | None, tz: ZoneInfo) -> datetime:
    return walls.passed(tz, utc(until)) if until and until.tzinfo else until or datetime.max


def _counted(occurrences: _Occurrences, count: int) -> datetime:
    """The last of so many occurrences; a time before DTSTART if there is none."""
    try:
        counted = deque(islice(occurrences.walk(occurrences.first), count), maxlen=1)
    except OverflowError:
        raise Fault(f"COUNT={count} takes too long to count; end the rule with UNTIL") from None
    return counted[0] if counted else occurrences.first - SECOND


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The ticks of a rule on the wall clock of a zone; `written` is its text with DTSTART."""

    key: ClassVar = "r"
    written: str
    parts: Parts = field(compare=False)
    tz: ZoneInfo
    walls: _Occurrences

    @classmethod
    def read(cls, value: object, tz: ZoneInfo, start: datetime | None) -> "Recurrence":
        """`start` stands for a DTSTART that the text lacks. Raises Fault."""
        if not isinstance(value, str):
            raise Fault(f"{shown(value)} is not a text such as FREQ=DAILY;INTERVAL=2")
        text, named, parts = read(value)
        begin = named or start
        if not begin:
            raise Fault("has no DTSTART; write one, or give start_at")
        if not FIRST.year <= begin.year < LAST.year:
            raise Fault("DTSTART lies outside the years 2 to 9998")
        wall = (local(tz, begin) if begin.tzinfo else begin).replace(microsecond=0, fold=0)
        if named:
            basic = wall.isoformat().replace("-", "").replace(":", "")
            text = f"DTSTART:{basic}\nRRULE:{text}"
        return cls(text, parts, tz, _occurrences(parts, wall, tz))

    def after(self, when: datetime) -> datetime | None:
        return walls.fixed_after(self.tz, self.walls, when)

    def latest(self, when: datetime) -> datetime | None:
        return walls.fixed_latest(self.tz, self.walls, when)

    def describe(self) -> str:
        """`Every 2 weeks (BYDAY=MO,FR), starting 2026-03-02 09:00 (Europe/Berlin)`"""
        every, name = self.parts.get("INTERVAL", 1), _NAMES[self.parts["FREQ"]]
        parts = self.written.rpartition(":")[2].split(";")
        more = [part for part in parts if not part.startswith(("FREQ=", "INTERVAL="))]
        limits = f" ({';'.join(more)})" if more else ""
        text = f"Every {name}" if every == 1 else f"Every {every} {name}s"
        return f"{text}{limits}, starting {wall_text(self.walls.first)} ({self.tz.key})"
