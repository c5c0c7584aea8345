"""Recurrence rules of RFC 5545, searched from any time in either direction.

python-dateutil walks from DTSTART only, step by step: a rule of every minute that began three
years ago costs seconds for each next time, and one that never matches runs to the year 9999. Here
the cost does not depend on DTSTART, and each search has a budget; dateutil is the oracle in tests.

Occurrences are wall times of the zone: at a clock change each is one fire time, see `walls`.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules import walls
from cron_tasks.schedules.clock import FIRST, LAST, local, utc, wall_text
from cron_tasks.schedules.rrule_clock import UNITS, Clock, clock, places
from cron_tasks.schedules.rrule_days import Days
from cron_tasks.schedules.rrule_text import DAILY, MONTHLY, WEEKLY, YEARLY, Parts, read
from cron_tasks.schedules.words import Fault
from cron_tasks.schedules.work import TooMuchWork, Work
from cron_tasks.text import shown

ZONE = re.compile(r"^\s*DTSTART;(?:\S*;)?TZID=([^:;\s]*)", re.IGNORECASE | re.MULTILINE)
_NAMES = ("year", "month", "week", "day", "hour", "minute", "second")
_DAY = UNITS[DAILY]
#: Steps of budget: for a candidate that INTERVAL leaves out, for a period whose occurrences are
#: counted, and for one from which BYSETPOS chooses.
_CANDIDATE, _COUNTED, _CHOSEN = 3, 5, 10
_END = datetime.max.toordinal() * _DAY + _DAY - 1
#: A search gives up after so many periods from which BYSETPOS chooses nothing.
_MOST_PERIODS = 700


@dataclass(frozen=True, slots=True)
class _Occurrences:
    """The wall times of a rule, from `first` to `last`.

    Inside, a wall time is its number of seconds: 86,400 times its ordinal day and its time of day.
    `interval` is 1 where `days` and `times` already take account of INTERVAL, and `positions` is
    empty where `times` takes account of BYSETPOS.
    """

    days: Days
    times: Clock
    positions: tuple[int, ...]
    interval: int
    unit: int
    first: int
    last: int

    def at_or_after(self, wall: datetime, work: Work) -> datetime | None:
        start = max(_seconds(wall), self.first)
        found = self._after(start, work) if start <= self.last else None
        return None if found is None or found > self.last else _wall(found)

    def at_or_before(self, wall: datetime, work: Work) -> datetime | None:
        end = min(_seconds(wall), self.last)
        found = self._before(end, work) if end >= self.first else None
        return None if found is None or found < self.first else _wall(found)

    def nth(self, count: int, work: Work) -> int | None:
        """Return the count-th occurrence from `first` on; None if the calendar ends before it."""
        if self.positions:
            return self._nth_chosen(count, work)
        if self.interval == 1:
            day, second = divmod(self.first, _DAY)
            if self.days.following(day, work) == day:
                count += self.times.before(second)
            days, at = divmod(count - 1, max(len(self.times), 1))
            found = self.days.skip(day, days, work) if len(self.times) else None
            return None if found is None else found * _DAY + self.times[at]
        if not any(part.startswith("BY") for part in self.days.parts):
            return self.first + (count - 1) * self.interval * self.unit
        found = self._after(self.first, work)
        for _ in range(count - 1):
            work.spend()
            found = found and self._after(found + 1, work)
        return found

    def _after(self, wall: int, work: Work) -> int | None:
        if self.positions:
            return self._chosen_after(wall, work)
        while (found := self._plain_after(wall, work)) is not None:
            number = found // self.unit
            late = (number - self.first // self.unit) % self.interval
            if not late:
                return found
            work.spend(_CANDIDATE)
            wall = (number - late + self.interval) * self.unit
        return None

    def _before(self, wall: int, work: Work) -> int | None:
        if self.positions:
            return self._chosen_before(wall, work)
        while (found := self._plain_before(wall, work)) is not None:
            number = found // self.unit
            late = (number - self.first // self.unit) % self.interval
            if not late or found < self.first:
                return found
            work.spend(_CANDIDATE)
            wall = (number - late + 1) * self.unit - 1
        return None

    def _plain_after(self, wall: int, work: Work) -> int | None:
        """Return the first time at or after `wall` on a chosen day at a chosen time of day."""
        if not len(self.times) or wall > _END:
            return None
        today, second = divmod(wall, _DAY)
        at = self.times.before(second)
        day = self.days.following(today + (at == len(self.times)), work)
        return None if day is None else day * _DAY + self.times[at if day == today else 0]

    def _plain_before(self, wall: int, work: Work) -> int | None:
        if not len(self.times) or wall < _DAY:
            return None
        today, second = divmod(wall, _DAY)
        at = self.times.before(second + 1) - 1
        day = self.days.preceding(today - (at < 0), work)
        return None if day is None else day * _DAY + self.times[at if day == today else -1]

    def _chosen(self, day: int, work: Work) -> tuple[int, int, list[int]]:
        """Return the period that holds a day, and the times in it that BYSETPOS chooses."""
        start, end = self.days.period(day)
        days, size = self.days.within(start, end), len(self.times)
        work.spend(_CHOSEN + len(days) // 8)
        at = places(self.positions, len(days) * size)
        return start, end, [days[each // size] * _DAY + self.times[each % size] for each in at]

    def _chosen_after(self, wall: int, work: Work) -> int | None:
        start = self.days.period(wall // _DAY)[0]
        for _ in range(_MOST_PERIODS):
            if not (day := self.days.following(start, work)):
                return None
            _, start, found = self._chosen(day, work)
            if tick := next((each for each in found if each >= wall), None):
                return tick
        return None

    def _chosen_before(self, wall: int, work: Work) -> int | None:
        end = self.days.period(wall // _DAY)[1]
        for _ in range(_MOST_PERIODS):
            day = self.days.preceding(end - 1, work)
            if not day or end * _DAY <= self.first:
                return None
            end, _, found = self._chosen(day, work)
            if tick := next((each for each in reversed(found) if each <= wall), None):
                return tick
        return None

    def _nth_chosen(self, count: int, work: Work) -> int | None:
        sizes: dict[int, int] = {}
        start = self.days.period(self.first // _DAY)[0]
        while day := self.days.following(start, work):
            begin, start = self.days.period(day)
            work.spend(_COUNTED)
            size = self.days.size(begin, start) * len(self.times)
            if size not in sizes:
                sizes[size] = len(places(self.positions, size))
            if count <= sizes[size] or begin * _DAY <= self.first:
                found = [each for each in self._chosen(day, work)[2] if each >= self.first]
                if count <= len(found):
                    return found[count - 1]
                count -= len(found)
            else:
                count -= sizes[size]
        return None


def _seconds(wall: datetime) -> int:
    return wall.toordinal() * _DAY + wall.hour * 3_600 + wall.minute * 60 + wall.second


def _wall(seconds: int) -> datetime:
    return datetime.fromordinal(seconds // _DAY) + timedelta(seconds=seconds % _DAY)


def _occurrences(parts: Parts, start: datetime, tz: ZoneInfo) -> _Occurrences:
    """Return the occurrences before COUNT ends them; what the rule leaves open is from DTSTART."""
    frequency, months = parts["FREQ"], parts.get("BYMONTH")
    month_days, weekdays = parts.get("BYMONTHDAY", ()), parts.get("BYDAY", ())
    if not parts.keys() & {"BYDAY", "BYMONTHDAY", "BYWEEKNO", "BYYEARDAY"}:
        if frequency == YEARLY:
            months = months or (start.month,)
        if frequency in (YEARLY, MONTHLY):
            month_days = (start.day,)
        elif frequency == WEEKLY:
            weekdays = ((0, start.weekday()),)
    first = _seconds(start)
    times, settled = clock(parts, first % _DAY)
    positions = parts.get("BYSETPOS", ()) if frequency < DAILY else ()
    most = (366, len(month_days) or 31, len(weekdays) or 7)[frequency] if positions else 0
    if positions and min(map(abs, positions)) > most * len(times):
        positions, times = (), Clock((), ())  # no period has so many times
    return _Occurrences(
        days=Days(parts, months or tuple(range(1, 13)), month_days, weekdays, start.date()),
        times=times,
        positions=positions,
        interval=1 if settled else parts.get("INTERVAL", 1),
        unit=UNITS.get(frequency, _DAY),
        first=first,
        last=_until(parts.get("UNTIL"), tz),
    )


def _until(until: datetime | None, tz: ZoneInfo) -> int:
    if not until:
        return _END
    return _seconds(walls.passed(tz, utc(until)) if until.tzinfo else until)


def _counted(occurrences: _Occurrences, count: int, work: Work) -> int:
    """Return the last of so many occurrences. Raises Fault if that takes too much work."""
    try:
        last = occurrences.nth(count, work)
    except TooMuchWork:
        raise Fault(f"COUNT={count} takes too long to count; end the rule with UNTIL") from None
    return _END if last is None else min(last, _END)


def _basic(wall: datetime) -> str:
    """Return `20260301T090000`."""
    return wall.isoformat().replace("-", "").replace(":", "")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The ticks of a rule on the wall clock of a zone.

    `written` is its text with DTSTART, and with UNTIL in place of COUNT, so that whoever reads it
    back need not count. `told` is the rule as its owner wrote it.
    """

    key: ClassVar = "r"
    written: str
    told: str
    parts: Parts = field(compare=False)
    tz: ZoneInfo
    walls: _Occurrences

    @classmethod
    def read(cls, value: object, tz: ZoneInfo, start: datetime | None, work: Work) -> "Recurrence":
        """`start` stands for a DTSTART that the text lacks. Raises Fault."""
        if not isinstance(value, str):
            raise Fault(f"{shown(value)} is not a text such as FREQ=DAILY;INTERVAL=2")
        told, named, parts = read(value)
        begin = named or start
        if not begin:
            raise Fault("has no DTSTART; write one, or give start_at")
        if not FIRST.year <= begin.year < LAST.year:
            raise Fault("DTSTART lies outside the years 2 to 9998")
        wall = (local(tz, begin) if begin.tzinfo else begin).replace(microsecond=0, fold=0)
        occurrences, text = _occurrences(parts, wall, tz), told
        if "COUNT" in parts:
            occurrences = replace(occurrences, last=_counted(occurrences, parts["COUNT"], work))
            text = _ended(told, occurrences.last)
        if named:
            text = f"DTSTART:{_basic(wall)}\nRRULE:{text}"
        return cls(text, told, parts, tz, occurrences)

    @property
    def uneven(self) -> bool:
        """Whether INTERVAL picks other times each day, so that some searches take longer."""
        return self.walls.interval > 1

    def after(self, when: datetime, work: Work) -> datetime | None:
        return walls.fixed_after(self.tz, self.walls, when, work)

    def latest(self, when: datetime, work: Work) -> datetime | None:
        return walls.fixed_latest(self.tz, self.walls, when, work)

    def describe(self) -> str:
        """`Every 2 weeks (BYDAY=MO,FR), starting 2026-03-02 09:00 (Europe/Berlin)`"""
        every, name = self.parts.get("INTERVAL", 1), _NAMES[self.parts["FREQ"]]
        parts = self.told.split(";")
        more = [part for part in parts if not part.startswith(("FREQ=", "INTERVAL="))]
        limits = f" ({';'.join(more)})" if more else ""
        text = f"Every {name}" if every == 1 else f"Every {every} {name}s"
        return f"{text}{limits}, starting {wall_text(_wall(self.walls.first))} ({self.tz.key})"


def _ended(rule: str, last: int) -> str:
    """Return the rule with UNTIL in place of COUNT, without either if it lasts for ever."""
    until = f"UNTIL={_basic(_wall(last))}"
    parts = [until if part.startswith("COUNT=") else part for part in rule.split(";")]
    return ";".join(part for part in parts if last < _END or part != until)
