"""Times in which a schedule does not fire: holidays, shutdowns, quiet hours.

They are wall times in the zone of the job. Each answer is a whole stretch of time, so a search
jumps over it at once.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from operator import itemgetter
from typing import TypeVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.iso8601 import read_date
from cron_tasks.schedules.zones import (
    ONE_DAY,
    REACH,
    find_clock_change,
    instants_showing,
    to_wall_time,
)
from cron_tasks.text.display import printable, short_repr

T = TypeVar("T", datetime, timedelta)


def normalize_entry(entry: object) -> str:
    """Return an entry of `exclude` as one text, `from/to`.

    An invalid entry becomes a text that `read_exclusions` rejects.
    """
    if isinstance(entry, str):
        return entry.strip()
    if isinstance(entry, Mapping) and set(entry) == {"from", "to"}:
        return f"{entry['from']}/{entry['to']}"
    return short_repr(entry)


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Excluded times: `dates` between wall times, `daily` between offsets from midnight.

    Both are sorted. Their stretches neither overlap nor touch, and do not include their ends.
    """

    tz: ZoneInfo
    dates: tuple[tuple[datetime, datetime], ...]
    daily: tuple[tuple[timedelta, timedelta], ...]

    @property
    def size(self) -> int:
        """Return the number of steps that pass each stretch of dates, and each quiet time of a day,
        once.

        A clock change cuts a stretch into up to three.
        """
        return 3 * (len(self.dates) + len(self.daily))

    def stretch_at(self, instant: datetime) -> tuple[datetime, datetime] | None:
        """Return an excluded stretch [start, end) that contains `instant`, or None.

        Times next to the stretch may be excluded, too.
        """
        wall = to_wall_time(self.tz, instant)
        if found := _span_at(self.dates, wall):
            return self._to_instants(instant, *found)
        midnight = datetime.combine(wall, time())
        if hours := _span_at(self.daily, wall - midnight):
            return self._to_instants(instant, midnight + hours[0], midnight + hours[1])
        return None

    def first_within(self, start: datetime, end: datetime) -> datetime:
        """Return the first excluded instant in (start, end), or `end` if there is none.

        `start` is not excluded.
        """
        while start < end:
            wall = to_wall_time(self.tz, start)
            # Until the clock changes, wall time passes as fast as real time.
            until = find_clock_change(self.tz, start, end) or min(end, start + REACH)
            begins = self._next_start(wall)
            if begins and start + (begins - wall) < until:
                return start + (begins - wall)
            start = until
            if start < end and self.stretch_at(start):
                return start
        return end

    def _next_start(self, wall: datetime) -> datetime | None:
        """Return the first wall time after `wall` at which a stretch starts."""
        number = bisect_right(self.dates, wall, key=itemgetter(0))
        found = [start for start, _ in self.dates[number : number + 1]]
        if self.daily:
            midnight = datetime.combine(wall, time())
            number = bisect_right(self.daily, wall - midnight, key=itemgetter(0))
            later = number < len(self.daily)
            found.append(
                midnight + (self.daily[number][0] if later else self.daily[0][0] + ONE_DAY)
            )
        return min(found, default=None)

    def date_starts(self) -> Iterator[datetime]:
        """Yield the first instant of each stretch of dates."""
        for start, _ in self.dates:
            yield instants_showing(self.tz, start)[0]

    def _to_instants(
        self, instant: datetime, wall_start: datetime, wall_end: datetime
    ) -> tuple[datetime, datetime]:
        """Convert a stretch of wall time around `instant`, cut where the clock changes near it."""
        first, last = instants_showing(self.tz, wall_start)
        start = last if last <= instant else first
        first, last = instants_showing(self.tz, wall_end)
        end = first if first > instant else last
        near = max(start, instant - REACH)
        return find_clock_change(self.tz, near, instant) or start, (
            find_clock_change(self.tz, instant, end) or end
        )


def _span_at(spans: Sequence[tuple[T, T]], at: T) -> tuple[T, T] | None:
    """Return the one of sorted spans that contains `at`, or None."""
    number = bisect_right(spans, at, key=itemgetter(0)) - 1
    return spans[number] if number >= 0 and at < spans[number][1] else None


def _merge(spans: Iterable[tuple[T, T]]) -> tuple[tuple[T, T], ...]:
    """Return the spans in order, with those that overlap or touch as one."""
    merged: list[tuple[T, T]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def read_exclusions(entries: tuple[str, ...], tz: ZoneInfo) -> Exclusions | None:
    """Read normalized entries. Return None if there are none.

    - `2026-12-24`: that day
    - `2026-12-24/2026-12-26`: these days, including the last
    - `22:00/06:00`: each day, past midnight if the end is not after the start

    Raises Fault, with all faults.
    """
    dates: list[tuple[datetime, datetime]] = []
    daily: list[tuple[timedelta, timedelta]] = []
    faults: list[str] = []
    for entry in entries:
        start, slash, end = entry.partition("/")
        first, last = read_date(start), read_date(end if slash else start)
        early, late = _offset_from_midnight(start), _offset_from_midnight(end)
        if first and last and first <= last:
            dates.append(
                (datetime.combine(first, time()), datetime.combine(last, time()) + ONE_DAY)
            )
        elif early is not None and late is not None and early != late:
            daily += [(early, late)] if early < late else [(early, ONE_DAY), (timedelta(), late)]
        else:
            expected = "a date, {from, to} of dates in order or of two times of day"
            faults.append(f"{printable(entry, 60)} is not one of {expected}")
    if faults:
        raise Fault(*faults)
    return Exclusions(tz, _merge(dates), _merge(daily)) if entries else None


def _offset_from_midnight(text: str) -> timedelta | None:
    """Return the offset of a time of day, or None. 24:00 is the end of the day."""
    try:
        clock = time.fromisoformat(text.strip())
    except ValueError:
        return ONE_DAY if text.strip() == "24:00" else None
    return None if clock.tzinfo else datetime.combine(datetime.min, clock) - datetime.min
