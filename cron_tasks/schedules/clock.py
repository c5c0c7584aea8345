"""Between instants (aware UTC) and the wall clock of a zone (naive), exact at every clock change.

A wall time happens once on most days, not at all in the gap of spring and twice in autumn. Which
of these is meant is a rule of each kind of schedule; this module only tells them apart.
"""

import zoneinfo
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cron_tasks.schedules.words import Fault
from cron_tasks.text import shown, suggestion

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


@lru_cache(maxsize=1024)
def zone(name: object) -> ZoneInfo:
    """The zone of an IANA name. Raises Fault with the nearest known name."""
    # right/ counts leap seconds and localtime differs from machine to machine.
    text = name.strip() if isinstance(name, str) else ""
    if not text.startswith(("right/", "posix/")) and text != "localtime":
        with suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo(text)
    raise Fault(f"unknown time zone {shown(name)}{_nearest(text)}")


@lru_cache(maxsize=1024)
def _nearest(name: str) -> str:
    return suggestion(name, zoneinfo.available_timezones())


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
        raise Fault(f"{shown(text)} is not an ISO 8601 time such as {example}") from None
    with suppress(OverflowError):
        wall += DAY if day and end else timedelta()
        instant = wall.astimezone(UTC) if wall.tzinfo else showing(tz, wall)[0]
        if FIRST <= instant < LAST:
            return instant
    raise Fault(f"{shown(text)} lies outside the years 2 to 9998")


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
