"""Between instants (aware UTC) and the wall clock of a zone (naive), exact at every clock change.

A wall time happens once on most days, not at all in the gap of spring and twice in autumn. Which
of these is meant is a rule of each kind of schedule; this module only tells them apart.
"""

import re
import zoneinfo
from contextlib import suppress
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from cron_tasks.schedules.faults import Fault
from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import suggest_nearest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

#: Ticks exist from FIRST to before LAST: the margins keep all arithmetic inside `datetime`.
FIRST = datetime(2, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)
_MARGIN = timedelta(days=120)

#: No zone ever repeated more than a day, so a clock change farther off cannot hide a tick.
REACH = timedelta(hours=25)


#: Abbreviations, which are no IANA names and change with the season, and a place that keeps each.
_ABBREVIATED = {
    abbreviation: name
    for name, abbreviations in {
        "UTC": "Z",
        "Europe/London": "BST",
        "Europe/Lisbon": "WEST",
        "Europe/Berlin": "CEST MEZ MESZ",
        "Europe/Athens": "EEST",
        "Europe/Moscow": "MSK",
        "America/New_York": "EDT ET",
        "America/Chicago": "CST CDT CT",
        "America/Denver": "MDT MT",
        "America/Los_Angeles": "PST PDT PT",
        "America/Anchorage": "AKST AKDT",
        "Asia/Kolkata": "IST",
        "Asia/Tokyo": "JST",
        "Asia/Seoul": "KST",
        "Asia/Singapore": "SGT",
        "Australia/Sydney": "AEST AEDT",
        "Australia/Perth": "AWST",
    }.items()
    for abbreviation in abbreviations.split()
}


@lru_cache(maxsize=1024)
def zone(name: object) -> ZoneInfo:
    """The zone of an IANA name. Raises Fault with the name that was probably meant."""
    text = name.strip() if isinstance(name, str) else ""
    if found := _zone(text):
        return found
    meant = _ABBREVIATED.get(text.upper()) or _fixed(text)
    hint = f"; did you mean {meant!r}?" if meant else suggest_nearest(text, _names(), _zone)
    raise Fault(f"unknown time zone {short_repr(name)}{hint}")


def _fixed(text: str) -> str | None:
    """Return the zone of an offset in whole hours; in its name the sign is that of POSIX."""
    if not (match := re.fullmatch(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?00)?", text.upper())):
        return None
    hours = int(match[2])
    name = f"Etc/GMT{'-' if match[1] == '+' else '+'}{hours}" if hours else "UTC"
    return name if _zone(name) else None


def _zone(name: str) -> ZoneInfo | None:
    # right/ counts leap seconds and localtime differs from machine to machine.
    if not name.startswith(("right/", "posix/")) and name not in ("localtime", "Factory"):
        with suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo(name)
    return None


@cache
def _names() -> list[str]:
    """Return the known names, those of places first."""
    return sorted(zoneinfo.available_timezones(), key=lambda name: ("/" not in name, name))


def utc(when: datetime) -> datetime:
    """The same instant in UTC, moved to where ticks exist or a little around it."""
    if when.tzinfo is UTC and FIRST <= when < LAST:
        return when
    if when.tzinfo is None:
        raise ValueError(f"{when!r} names no zone: schedules compare instants")
    try:
        when = when.astimezone(UTC)
    except OverflowError:
        when = when.replace(tzinfo=UTC)
    return min(max(when, FIRST - _MARGIN), LAST + _MARGIN)


def local(tz: ZoneInfo, instant: datetime) -> datetime:
    """The wall time that `instant` shows; its `fold` is 1 in the second pass of a repeated time."""
    return instant.astimezone(tz).replace(tzinfo=None)


def showing(tz: ZoneInfo, wall: datetime) -> tuple[datetime, datetime]:
    """The first and the last instant that shows `wall`; both are the gap's end if none does."""
    aware = wall.replace(tzinfo=tz, fold=0)
    before, after = aware.utcoffset(), aware.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    bare = wall.replace(tzinfo=UTC, fold=0)
    if before < after:
        end = clock_change(tz, bare - after, bare - before)
        assert end is not None
        return end, end
    return bare - before, bare - after


def clock_change(tz: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The instant in (start, end] at which the offset stops being that at `start`, else None.

    Looks no farther than REACH, so that two changes which cancel out are not missed.
    """
    start = start.replace(microsecond=0)
    end = min(end, start + REACH)
    offset = start.astimezone(tz).utcoffset()
    if end <= start or end.astimezone(tz).utcoffset() == offset:
        return None
    low, high = 0, -((start - end) // SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if (start + middle * SECOND).astimezone(tz).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return start + high * SECOND


def read_time(text: object, tz: ZoneInfo, *, end: bool = False) -> datetime:
    """The instant of an ISO 8601 text; without an offset it is wall time in `tz`.

    A date alone is its first moment, or with `end` the first moment after it. Raises Fault.
    """
    written = text.strip() if isinstance(text, str) else ""
    day = read_date(written)
    try:
        wall = datetime.combine(day, time()) if day else datetime.fromisoformat(written)
    except ValueError:
        example = "2026-03-01T09:00:00+01:00"
        raise Fault(f"{short_repr(text)} is not an ISO 8601 time such as {example}") from None
    with suppress(OverflowError):
        wall += DAY if day and end else timedelta()
        instant = wall.astimezone(UTC) if wall.tzinfo else showing(tz, wall)[0]
        if FIRST <= instant < LAST:
            return instant
    raise Fault(f"{short_repr(text)} lies outside the years 2 to 9998")


def read_start(text: object, tz: ZoneInfo) -> datetime | None:
    """Return the instant of a `start_at`, None if it lies before the year 2.

    The earliest times of other systems, such as 0001-01-01, mean "no start". Raises Fault.
    """
    return None if _year(text) == MINYEAR else read_time(text, tz)


def read_end(text: object, tz: ZoneInfo) -> datetime | None:
    """Return the instant of an `end_at`, None if it lies in the year 9999.

    The latest times of other systems, such as 9999-12-31, mean "no end". Raises Fault.
    """
    return None if _year(text) == MAXYEAR else read_time(text, tz, end=True)


def _year(text: object) -> int | None:
    """Return the year of an ISO 8601 text as written, None if it is something else."""
    with suppress(ValueError):
        return datetime.fromisoformat(text.strip() if isinstance(text, str) else "").year
    return None


def read_date(text: str) -> date | None:
    """The date of an ISO 8601 text, None if it is something else."""
    with suppress(ValueError):
        return date.fromisoformat(text.strip())
    return None


def utc_text(instant: datetime) -> str:
    """`2026-03-01T08:00:00Z`"""
    return instant.isoformat().replace("+00:00", "Z")


def wall_text(wall: datetime) -> str:
    """`2026-03-01 09:00`, with seconds where there are any."""
    return wall.isoformat(" ", "auto" if wall.second or wall.microsecond else "minutes")
