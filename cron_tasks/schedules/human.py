"""Times as people read them."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.interval import Interval
from cron_tasks.schedules.zones import read_time
from cron_tasks.text.display import short_repr

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_AGO = re.compile(f"([0-9]{{1,9}}) ?({'|'.join(unit for unit, _ in _UNITS)})")


def local(when: datetime | float | None, zone: str = "UTC") -> str | None:
    """ISO 8601 with offset in `zone`; a number is seconds since the epoch."""
    if when is None:
        return None
    moment = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    return moment.astimezone(ZoneInfo(zone)).isoformat()


def distance(seconds: float) -> str:
    """`in 3 h 12 min`, `2 d 4 h ago`, `now`."""
    if not round(seconds):
        return "now"
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"


def duration(seconds: float) -> str:
    """`3 h 12 min`: the largest unit and the one below it."""
    left = max(round(seconds), 0)
    for (unit, size), (below, part) in pairwise(_UNITS):
        if left >= size:
            more = left % size // part
            return f"{left // size:,} {unit}" + (f" {more} {below}" if more else "")
    return f"{left} s"


def took(seconds: float | None) -> str:
    """`0.002 s`, `14.3 s`, `3 h 12 min`; nothing for None."""
    if seconds is None:
        return ""
    return f"{round(seconds, 3):g} s" if seconds < 60 else duration(seconds)


def moment(text: str, zone: str, now: datetime) -> datetime:
    """The instant that `30s`, `15min`, `2h`, `1d` or an ISO 8601 duration lies before `now`, or
    that an ISO 8601 time names (wall time in `zone` without an offset). Raises Fault."""
    text = text.strip()
    try:
        if ago := _AGO.fullmatch(text):
            return now - int(ago[1]) * timedelta(seconds=dict(_UNITS)[ago[2]])
        if text[:1] in ("P", "p"):
            return now - Interval.read(text, ZoneInfo(zone), None).period
    except OverflowError:
        raise Fault(f"{short_repr(text)} ago was before the year 1") from None
    return read_time(text, ZoneInfo(zone))
