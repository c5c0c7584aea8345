"""Times in which a schedule does not tick: holidays, shutdowns, quiet hours.

Dates and times are stretches between instants, merged and searched by bisection; daily hours are
looked up by wall time. Each answer is a whole stretch, so that a search jumps over it.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import TypeVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules._clock import DAY, clock_change, local, read_date, read_time, showing
from cron_tasks.schedules._words import Fault, Faults, quoted

_T = TypeVar("_T", datetime, timedelta)
_MIDNIGHT = time()


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Merged and sorted: `spans` of instants, `daily` offsets from a wall clock's midnight."""

    tz: ZoneInfo
    spans: tuple[tuple[datetime, datetime], ...]
    daily: tuple[tuple[timedelta, timedelta], ...]

    def stretch(self, instant: datetime) -> tuple[datetime, datetime] | None:
        """An excluded stretch [start, end) that holds `instant`; what it touches may be, too."""
        at = bisect_right(self.spans, instant, key=lambda span: span[0]) - 1
        if at >= 0 and instant < self.spans[at][1]:
            return self.spans[at]
        if not self.daily:
            return None
        wall = local(self.tz, instant)
        midnight = datetime.combine(wall, _MIDNIGHT)
        for start, end in self.daily:
            if start <= wall - midnight < end:
                return self._bounds(instant, midnight + start, midnight + end)
        return None

    def _bounds(
        self, instant: datetime, wall_start: datetime, wall_end: datetime
    ) -> tuple[datetime, datetime]:
        """The two wall times around `instant` as instants, cut where the clock changes between."""
        first, last = showing(self.tz, wall_start)
        start = last if last <= instant else first
        first, last = showing(self.tz, wall_end)
        end = first if first > instant else last
        start = clock_change(self.tz, start, instant) or start
        return start, clock_change(self.tz, instant, end) or end


def canonical(entry: object) -> str:
    """One excluded stretch as ISO 8601 text, `from/to` joined by a slash. Raises Fault."""
    if isinstance(entry, str):
        return "/".join(map(_tidy, entry.split("/")))
    if isinstance(entry, Mapping) and set(entry) == {"from", "to"}:
        start, end = entry["from"], entry["to"]
        if isinstance(start, str) and isinstance(end, str):
            return f"{_tidy(start)}/{_tidy(end)}"
    raise Fault(f'{quoted(entry)} is neither a date nor {{"from": …, "to": …}} in texts')


def _tidy(text: str) -> str:
    """A date or time in its one spelling; anything else as it is, for `compiled` to judge."""
    text = text.strip()
    if day := read_date(text):
        return day.isoformat()
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text


@lru_cache(maxsize=1024)
def compiled(entries: tuple[str, ...], tz: ZoneInfo) -> Exclusions:
    """The exclusions of canonical texts:

    - `2026-12-24`: that day of the zone
    - `2026-12-24/2026-12-26`: these days, the last one included
    - `2026-12-24T18:00/2026-12-25T06:00`: from this time to before that one
    - `22:00/06:00`: each day, through midnight where the end is not after the start

    Raises Fault with every fault.
    """
    spans: list[tuple[datetime, datetime]] = []
    daily: list[tuple[timedelta, timedelta]] = []
    faults = Faults()
    for entry in entries:
        with faults.at(entry):
            if hours := _daily(entry):
                daily += hours
            else:
                spans.append(_span(entry, tz))
    hours_off = _merged(daily)
    if hours_off == ((timedelta(), DAY),):
        raise Fault(*faults.messages(), "the hours leave nothing of the day")
    if faults:
        raise Fault(*faults.messages())
    return Exclusions(tz, _merged(spans), hours_off)


def _daily(entry: str) -> list[tuple[timedelta, timedelta]] | None:
    """The hours of a text such as `22:00/06:00`, cut at midnight; None if it is no such text."""
    start_text, _, end_text = entry.partition("/")
    start, end = _clock(start_text), _clock(end_text)
    if start is None or end is None:
        return None
    if start == end:
        raise Fault(f"{quoted(entry)} starts and ends at the same time")
    if start < end:
        return [(start, end)]
    return [(start, DAY), (timedelta(), end)]


def _clock(text: str) -> timedelta | None:
    if not (match := re.fullmatch(r"([0-9]{2}):([0-5][0-9])(?::([0-5][0-9]))?", text)):
        return None
    hours, minutes, seconds = (int(number or 0) for number in match.groups())
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return offset if offset <= DAY else None


def _span(entry: str, tz: ZoneInfo) -> tuple[datetime, datetime]:
    start_text, slash, end_text = entry.partition("/")
    if not slash:
        if not read_date(entry):
            raise Fault(f"{quoted(entry)} is not a date such as 2026-12-24")
        end_text = entry
    start, end = read_time(start_text, tz), read_time(end_text, tz, end=True)
    if end <= start:
        raise Fault(f"{quoted(entry)} ends before it starts")
    return start, end


def _merged(spans: Iterable[tuple[_T, _T]]) -> tuple[tuple[_T, _T], ...]:
    """Sorted, without empty ones, and with those that meet made one."""
    merged: list[tuple[_T, _T]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif start < end:
            merged.append((start, end))
    return tuple(merged)
