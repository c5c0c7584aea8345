"""Times in which a schedule does not tick: holidays, shutdowns, quiet hours.

They are wall times of the job's zone. Each answer is a whole stretch, so that a search jumps over
it at once.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from operator import itemgetter
from typing import TypeVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.zones import DAY, REACH, clock_change, local, read_date, showing
from cron_tasks.text.display import printable, short_repr

T = TypeVar("T", datetime, timedelta)


def canonical(entry: object) -> str:
    """An excluded stretch as one text, `from/to`; what is none is left for `read` to refuse."""
    if isinstance(entry, str):
        return entry.strip()
    if isinstance(entry, Mapping) and set(entry) == {"from", "to"}:
        return f"{entry['from']}/{entry['to']}"
    return short_repr(entry)


@dataclass(frozen=True, slots=True)
class Exclusions:
    """`dates` between wall times, `daily` between offsets from midnight; ends are not included.

    Both are sorted, and their stretches neither overlap nor touch.
    """

    tz: ZoneInfo
    dates: tuple[tuple[datetime, datetime], ...]
    daily: tuple[tuple[timedelta, timedelta], ...]

    @property
    def size(self) -> int:
        """How many steps pass each stretch of dates, and each quiet time of a day, once.

        A change of the clock cuts a stretch into up to three.
        """
        return 3 * (len(self.dates) + len(self.daily))

    def stretch(self, instant: datetime) -> tuple[datetime, datetime] | None:
        """An excluded stretch [start, end) that holds `instant`; what it touches may be, too."""
        wall = local(self.tz, instant)
        if found := _holding(self.dates, wall):
            return self._instants(instant, *found)
        midnight = datetime.combine(wall, time())
        if hours := _holding(self.daily, wall - midnight):
            return self._instants(instant, midnight + hours[0], midnight + hours[1])
        return None

    def first(self, start: datetime, end: datetime) -> datetime:
        """Return the first excluded instant in (start, end), or `end` if there is none.

        `start` is not excluded.
        """
        while start < end:
            wall = local(self.tz, start)
            # Until the clock changes, the wall time goes as fast as time does.
            until = clock_change(self.tz, start, end) or min(end, start + REACH)
            begins = self._next_start(wall)
            if begins and start + (begins - wall) < until:
                return start + (begins - wall)
            start = until
            if start < end and self.stretch(start):
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
            found.append(midnight + (self.daily[number][0] if later else self.daily[0][0] + DAY))
        return min(found, default=None)

    def starts(self) -> Iterator[datetime]:
        """Yield the first instant of each stretch of dates."""
        for start, _ in self.dates:
            yield showing(self.tz, start)[0]

    def _instants(
        self, instant: datetime, wall_start: datetime, wall_end: datetime
    ) -> tuple[datetime, datetime]:
        """The two wall times around `instant`, cut where the clock changes near it."""
        first, last = showing(self.tz, wall_start)
        start = last if last <= instant else first
        first, last = showing(self.tz, wall_end)
        end = first if first > instant else last
        near = max(start, instant - REACH)
        return clock_change(self.tz, near, instant) or start, (
            clock_change(self.tz, instant, end) or end
        )


def _holding(spans: Sequence[tuple[T, T]], at: T) -> tuple[T, T] | None:
    """The one of sorted spans that holds `at`."""
    number = bisect_right(spans, at, key=itemgetter(0)) - 1
    return spans[number] if number >= 0 and at < spans[number][1] else None


def _merged(spans: Iterable[tuple[T, T]]) -> tuple[tuple[T, T], ...]:
    """In order, with those that overlap or touch as one."""
    merged: list[tuple[T, T]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def read(entries: tuple[str, ...], tz: ZoneInfo) -> Exclusions | None:
    """The exclusions of canonical texts, None for none:

    - `2026-12-24`: that day
    - `2026-12-24/2026-12-26`: these days, the last one included
    - `22:00/06:00`: each day, through midnight where the end is not after the start

    Raises Fault with every fault.
    """
    dates: list[tuple[datetime, datetime]] = []
    daily: list[tuple[timedelta, timedelta]] = []
    faults: list[str] = []
    for entry in entries:
        start, slash, end = entry.partition("/")
        first, last = read_date(start), read_date(end if slash else start)
        early, late = _offset(start), _offset(end)
        if first and last and first <= last:
            dates.append((datetime.combine(first, time()), datetime.combine(last, time()) + DAY))
        elif early is not None and late is not None and early != late:
            daily += [(early, late)] if early < late else [(early, DAY), (timedelta(), late)]
        else:
            expected = "a date, {from, to} of dates in order or of two times of day"
            faults.append(f"{printable(entry, 60)} is not one of {expected}")
    if faults:
        raise Fault(*faults)
    return Exclusions(tz, _merged(dates), _merged(daily)) if entries else None


def _offset(text: str) -> timedelta | None:
    """Of a time of day from midnight; 24:00 is the end of the day."""
    try:
        clock = time.fromisoformat(text.strip())
    except ValueError:
        return DAY if text.strip() == "24:00" else None
    return None if clock.tzinfo else datetime.combine(datetime.min, clock) - datetime.min
