"""Recurrence rules of RFC 5545, searched from any time in either direction.

python-dateutil walks from DTSTART only, step by step: a rule of every minute that began three
years ago costs seconds for each next time, and one that never matches runs to the year 9999. Here
the cost does not depend on DTSTART, and each search has a budget; dateutil is the oracle in tests.

Occurrences are wall times of the zone: at a clock change each is one fire time, see `walls`.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules import wall_clock
from cron_tasks.schedules.budget import TooMuchWork, Work
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.rrule_days import Days
from cron_tasks.schedules.rrule_search import DAY_SECONDS, END, Occurrences, to_seconds, to_wall
from cron_tasks.schedules.rrule_text import DAILY, MONTHLY, WEEKLY, YEARLY, Parts, read
from cron_tasks.schedules.rrule_times import UNITS, Clock, clock
from cron_tasks.schedules.zones import FIRST, LAST, local, utc, wall_text
from cron_tasks.text.display import short_repr

ZONE = re.compile(r"^\s*DTSTART;(?:\S*;)?TZID=([^:;\s]*)", re.IGNORECASE | re.MULTILINE)
_LONGEST = 10_000
_NAMES = ("year", "month", "week", "day", "hour", "minute", "second")


def _occurrences(parts: Parts, start: datetime, tz: ZoneInfo) -> Occurrences:
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
    first = to_seconds(start)
    times, settled = clock(parts, first % DAY_SECONDS)
    positions = parts.get("BYSETPOS", ()) if frequency < DAILY else ()
    most = (366, len(month_days) or 31, len(weekdays) or 7)[frequency] if positions else 0
    if positions and min(map(abs, positions)) > most * len(times):
        positions, times = (), Clock((), ())  # no period has so many times
    return Occurrences(
        days=Days(parts, months or tuple(range(1, 13)), month_days, weekdays, start.date()),
        times=times,
        positions=positions,
        interval=1 if settled else parts.get("INTERVAL", 1),
        unit=UNITS.get(frequency, DAY_SECONDS),
        first=first,
        last=_until(parts.get("UNTIL"), tz),
    )


def _until(until: datetime | None, tz: ZoneInfo) -> int:
    if not until:
        return END
    return to_seconds(wall_clock.passed(tz, utc(until)) if until.tzinfo else until)


def _counted(occurrences: Occurrences, count: int, work: Work) -> int:
    """Return the last of so many occurrences. Raises Fault if that takes too much work."""
    try:
        last = occurrences.nth(count, work)
    except TooMuchWork:
        raise Fault(f"COUNT={count} takes too long to count; end the rule with UNTIL") from None
    return END if last is None else min(last, END)


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
    walls: Occurrences

    @classmethod
    def read(cls, value: object, tz: ZoneInfo, start: datetime | None, work: Work) -> "Recurrence":
        """`start` stands for a DTSTART that the text lacks. Raises Fault."""
        if not isinstance(value, str):
            raise Fault(f"{short_repr(value)} is not a text such as FREQ=DAILY;INTERVAL=2")
        if len(value) > _LONGEST:
            raise Fault(f"is longer than {_LONGEST:,} characters")
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
        return wall_clock.fixed_after(self.tz, self.walls, when, work)

    def latest(self, when: datetime, work: Work) -> datetime | None:
        return wall_clock.fixed_latest(self.tz, self.walls, when, work)

    def describe(self) -> str:
        """`Every 2 weeks (BYDAY=MO,FR), starting 2026-03-02 09:00 (Europe/Berlin)`"""
        every, name = self.parts.get("INTERVAL", 1), _NAMES[self.parts["FREQ"]]
        parts = self.told.split(";")
        more = [part for part in parts if not part.startswith(("FREQ=", "INTERVAL="))]
        limits = f" ({';'.join(more)})" if more else ""
        text = f"Every {name}" if every == 1 else f"Every {every} {name}s"
        return f"{text}{limits}, starting {wall_text(to_wall(self.walls.first))} ({self.tz.key})"


def _ended(rule: str, last: int) -> str:
    """Return the rule with UNTIL in place of COUNT, without either if it lasts for ever."""
    until = f"UNTIL={_basic(to_wall(last))}"
    parts = [until if part.startswith("COUNT=") else part for part in rule.split(";")]
    return ";".join(part for part in parts if last < END or part != until)
