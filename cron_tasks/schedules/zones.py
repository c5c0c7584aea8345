"""Convert between instants (aware UTC) and the wall clock of a zone (naive).

The conversion is exact at every clock change. A wall time exists once on most days, not at all in
the spring gap, and twice in autumn. Each kind of schedule has a rule for which of these counts.
This module only distinguishes them.
"""

import re
import zoneinfo
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from cron_tasks.schedules.faults import Fault
from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import suggest_nearest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
ONE_DAY = timedelta(days=1)

#: Fire times lie between FIRST (included) and LAST (excluded). The margins keep all arithmetic
#: within the range of `datetime`.
FIRST = datetime(2, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)
_MARGIN = timedelta(days=120)

#: No zone ever repeated more than a day, so a clock change farther away cannot hide a fire time.
REACH = timedelta(hours=25)

#: Names that stand for no place, or for another one on each machine.
_NOT_A_PLACE = frozenset({"localtime", "Factory"})
#: Abbreviations are not IANA names and change with the season. Each has a place that observes it.
_ABBREVIATED = {
    abbreviation: name
    for name, abbreviations in {
        "UTC": "Z",
        "Europe/London": "BST",
        "Europe/Lisbon": "WEST",
        "Europe/Berlin": "CEST MEZ MESZ",
        "Europe/Athens": "EEST",
        "Europe/Moscow": "MSK",
        "Africa/Johannesburg": "SAST",
        "Africa/Lagos": "WAT",
        "Africa/Maputo": "CAT",
        "Africa/Nairobi": "EAT",
        "America/Argentina/Buenos_Aires": "ART",
        "America/Halifax": "AST ADT",
        "America/Sao_Paulo": "BRT",
        "America/St_Johns": "NST NDT",
        "America/New_York": "EDT ET",
        "America/Chicago": "CST CDT CT",
        "America/Denver": "MDT MT",
        "America/Los_Angeles": "PST PDT PT",
        "America/Anchorage": "AKST AKDT",
        "Asia/Kolkata": "IST",
        "Asia/Jakarta": "WIB",
        "Asia/Karachi": "PKT",
        "Asia/Tokyo": "JST",
        "Asia/Seoul": "KST",
        "Asia/Singapore": "SGT",
        "Australia/Sydney": "AEST AEDT",
        "Australia/Perth": "AWST",
        "Pacific/Auckland": "NZST NZDT",
        "Pacific/Pago_Pago": "SST",
    }.items()
    for abbreviation in abbreviations.split()
}


@lru_cache(maxsize=1024)
def find_zone(name: object) -> ZoneInfo:
    """Return the zone of an IANA name. Raises Fault, with the name that was probably meant."""
    text = name.strip() if isinstance(name, str) else ""
    if found := _load_zone(text):
        return found
    meant = _ABBREVIATED.get(text.upper()) or _find_fixed_zone(text)
    hint = (
        f"; did you mean {meant!r}?" if meant else suggest_nearest(text, _list_names(), _load_zone)
    )
    raise Fault(f"unknown time zone {short_repr(name)}{hint}")


def _find_fixed_zone(text: str) -> str | None:
    """Return the zone of an offset in whole hours. Its name has the sign of POSIX."""
    if not (match := re.fullmatch(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?00)?", text.upper())):
        return None
    hours = int(match[2])
    name = f"Etc/GMT{'-' if match[1] == '+' else '+'}{hours}" if hours else "UTC"
    return name if _load_zone(name) else None


def _load_zone(name: str) -> ZoneInfo | None:
    # right/ counts leap seconds.
    if not name.startswith(("right/", "posix/")) and name not in _NOT_A_PLACE:
        with suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo(name)
    return None


@cache
def _list_names() -> list[str]:
    """Return the known names, those of places first."""
    return sorted(zoneinfo.available_timezones(), key=lambda name: ("/" not in name, name))


def to_utc(when: datetime) -> datetime:
    """Return the same instant in UTC, or the nearest one that arithmetic can handle.

    Raises ValueError if `when` is naive.
    """
    if when.tzinfo is UTC and FIRST <= when < LAST:
        return when
    if when.tzinfo is None:
        raise ValueError(f"{when!r} has no time zone: schedules compare instants")
    try:
        when = when.astimezone(UTC)
    except OverflowError:
        when = when.replace(tzinfo=UTC)
    return min(max(when, FIRST - _MARGIN), LAST + _MARGIN)


def to_wall_time(tz: ZoneInfo, instant: datetime) -> datetime:
    """Return the wall time at `instant`. Its `fold` is 1 in the second pass of a repeated time."""
    return instant.astimezone(tz).replace(tzinfo=None)


def instants_showing(tz: ZoneInfo, wall: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last instant at which clocks show `wall`.

    Both are the end of the gap if `wall` falls into one.
    """
    aware = wall.replace(tzinfo=tz, fold=0)
    before, after = aware.utcoffset(), aware.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    bare = wall.replace(tzinfo=UTC, fold=0)
    if before < after:
        end = find_clock_change(tz, bare - after, bare - before)
        assert end is not None
        return end, end
    return bare - before, bare - after


def find_clock_change(tz: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first instant in (start, end] whose offset is not that of `start`, or None.

    The search ends at REACH, so that it does not miss two changes that cancel out.
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
