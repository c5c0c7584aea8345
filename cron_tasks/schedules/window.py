"""Times in which a schedule does not tick: holidays, shutdowns, quiet hours.

They are wall times of the job's zone. Each answer is a whole stretch, so that a search jumps over
it at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from cron_tasks.schedules.clock import DAY, REACH, clock_change, local, read_date, showing
from cron_tasks.schedules.words import Fault
from cron_tasks.text import printable, shown


def canonical(entry: object) -> str:
    """An excluded stretch as one text, `from/to`; what is none is left for `read` to refuse."""
    if isinstance(entry, str):
        return entry.strip()
    if isinstance(entry, Mapping) and set(entry) == {"from", "to"}:
        return f"{entry['from']}/{entry['to']}"
    return shown(entry)


@dataclass(frozen=True, slots=True)
class Exclusions:
    """`dates` between wall times, `daily` between offsets from midnight; ends are not included."""

    tz: ZoneInfo
    dates: tuple[tuple[datetime, datetime], ...]
    daily: tuple[tuple[timedelta, timedelta], ...]

    def stretch(self, instant: datetime) -> tuple[datetime, datetime] | None:
        """An excluded stretch [start, end) that holds `instant`; what it touches may be, too."""
        wall = local(self.tz, instant)
        midnight = datetime.combine(wall, time())
        for start, end in self.dates:
            if start <= wall < end:
                return self._instants(instant, start, end)
        for early, late in self.daily:
            if early <= wall - midnight < late:
                return self._instants(instant, midnight + early, midnight + late)
        return None

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
    return Exclusions(tz, tuple(dates), tuple(daily)) if entries else None


def _offset(text: str) -> timedelta | None:
    """Of a time of day from midnight; 24:00 is the end of the day."""
    try:
        clock = time.fromisoformat(text.strip())
    except ValueError:
        return DAY if text.strip() == "24:00" else None
    return None if clock.tzinfo else datetime.combine(datetime.min, clock) - datetime.min
