"""Recurrence rules of RFC 5545, searched from any time in either direction.

python-dateutil walks step by step from DTSTART. A rule of every minute that began three years ago
costs it seconds for each next time, and a rule that never matches runs to the year 9999. Here the
cost does not depend on DTSTART, and each search has a budget. The tests compare with dateutil.

Occurrences are wall times of the zone. At a clock change each is one fire time (see `wall_clock`).
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules import wall_clock
from cron_tasks.schedules.budget import Budget, TooMuchWork
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.iso8601 import wall_text
from cron_tasks.schedules.rrule_days import Days
from cron_tasks.schedules.rrule_search import END, Occurrences, from_seconds, to_seconds
from cron_tasks.schedules.rrule_text import DAILY, MONTHLY, WEEKLY, YEARLY, Parts, read_rule
from cron_tasks.schedules.rrule_times import SECONDS_IN, TimesOfDay, find_times_of_day
from cron_tasks.schedules.zones import FIRST, LAST, to_utc, to_wall_time
from cron_tasks.text.display import short_repr

ZONE = re.compile(r"^\s*DTSTART;(?:\S*;)?TZID=([^:;\s]*)", re.IGNORECASE | re.MULTILINE)
_LONGEST = 10_000
_NAMES = ("year", "month", "week", "day", "hour", "minute", "second")


def _find_occurrences(parts: Parts, start: datetime, tz: ZoneInfo) -> Occurrences:
    """Return the occurrences without COUNT. DTSTART supplies the parts that the rule leaves
    open."""
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
    times, is_settled = find_times_of_day(parts, first % DAY)
    positions = parts.get("BYSETPOS", ()) if frequency < DAILY else ()
    most = (366, len(month_days) or 31, len(weekdays) or 7)[frequency] if positions else 0
    if positions and min(map(abs, positions)) > most * len(times):
        positions, times = (), TimesOfDay((), ())  # No period has so many times.
    return Occurrences(
        days=Days(parts, months or tuple(range(1, 13)), month_days, weekdays, start.date()),
        times=times,
        positions=positions,
        interval=1 if is_settled else parts.get("INTERVAL", 1),
        unit=SECONDS_IN.get(frequency, DAY),
        first=first,
        last=_until_seconds(parts.get("UNTIL"), tz),
    )


def _until_seconds(until: datetime | None, tz: ZoneInfo) -> int:
    if not until:
        return END
    return to_seconds(wall_clock.last_passed_wall(tz, to_utc(until)) if until.tzinfo else until)


def _find_last_occurrence(occurrences: Occurrences, count: int, budget: Budget) -> int:
    """Return the last of `count` occurrences. Raises Fault if that takes too much work."""
    try:
        last = occurrences.nth(count, budget)
    except TooMuchWork:
        raise Fault(f"COUNT={count} takes too long to count; end the rule with UNTIL") from None
    return END if last is None else min(last, END)


def _to_basic(wall: datetime) -> str:
    """Return a wall time in the basic format of ISO 8601: `20260301T090000`."""
    return wall.isoformat().replace("-", "").replace(":", "")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The fire times of a rule on the wall clock of a zone.

    `spec_value` is its text with DTSTART, and with UNTIL in place of COUNT, so that reading it back
    takes no counting. `source` is the rule as its owner wrote it.
    """

    spec_key: ClassVar = "r"
    spec_value: str
    source: str
    parts: Parts = field(compare=False)
    tz: ZoneInfo
    walls: Occurrences

    @classmethod
    def from_value(
        cls, value: object, tz: ZoneInfo, start: datetime | None, budget: Budget
    ) -> "Recurrence":
        """Read the text of a rule. `start` replaces a missing DTSTART. Raises Fault."""
        if not isinstance(value, str):
            raise Fault(f"{short_repr(value)} is not a text such as FREQ=DAILY;INTERVAL=2")
        if len(value) > _LONGEST:
            raise Fault(f"is longer than {_LONGEST:,} characters")
        source, dtstart, parts = read_rule(value)
        begin = dtstart or start
        if not begin:
            raise Fault("has no DTSTART; write one, or give start_at")
        if not FIRST.year <= begin.year < LAST.year:
            raise Fault("DTSTART lies outside the years 2 to 9998")
        wall = (to_wall_time(tz, begin) if begin.tzinfo else begin).replace(microsecond=0, fold=0)
        occurrences, text = _find_occurrences(parts, wall, tz), source
        if "COUNT" in parts:
            last = _find_last_occurrence(occurrences, parts["COUNT"], budget)
            occurrences = replace(occurrences, last=last)
            text = _replace_count(source, last)
        if dtstart:
            text = f"DTSTART:{_to_basic(wall)}\nRRULE:{text}"
        return cls(text, source, parts, tz, occurrences)

    @property
    def is_uneven(self) -> bool:
        """Return whether INTERVAL picks other times each day, so that some searches take longer."""
        return self.walls.interval > 1

    def find_after(self, when: datetime, budget: Budget) -> datetime | None:
        return wall_clock.fixed_after(self.tz, self.walls, when, budget)

    def find_latest(self, when: datetime, budget: Budget) -> datetime | None:
        return wall_clock.fixed_latest(self.tz, self.walls, when, budget)

    def describe(self) -> str:
        """Return e.g. `Every 2 weeks (BYDAY=MO,FR), starting 2026-03-02 09:00 (Europe/Berlin)`."""
        every, name = self.parts.get("INTERVAL", 1), _NAMES[self.parts["FREQ"]]
        parts = self.source.split(";")
        more = [part for part in parts if not part.startswith(("FREQ=", "INTERVAL="))]
        limits = f" ({';'.join(more)})" if more else ""
        text = f"Every {name}" if every == 1 else f"Every {every} {name}s"
        start = wall_text(from_seconds(self.walls.first))
        return f"{text}{limits}, starting {start} ({self.tz.key})"


def _replace_count(rule: str, last: int) -> str:
    """Return the rule with UNTIL in place of COUNT, or without either if it never ends."""
    until = f"UNTIL={_to_basic(from_seconds(last))}"
    parts = [until if part.startswith("COUNT=") else part for part in rule.split(";")]
    return ";".join(part for part in parts if last < END or part != until)
