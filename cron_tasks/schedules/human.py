"""Read and write times as people do."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cron_tasks.schedules.durations import DAY, HOUR, MINUTE
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.interval import Interval
from cron_tasks.schedules.iso8601 import read_time
from cron_tasks.text.display import short_repr

_UNITS = (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", 1))
_AGO = re.compile(f"([0-9]{{1,9}}) ?({'|'.join(unit for unit, _ in _UNITS)})")


def format_local(when: datetime | float | None, zone: str = "UTC") -> str | None:
    """Return ISO 8601 with the offset of `zone`, or None for None.

    A number is seconds since the epoch.
    """
    if when is None:
        return None
    moment = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    return moment.astimezone(ZoneInfo(zone)).isoformat()


def format_distance(seconds: float) -> str:
    """Return `in 3 h 12 min`, `2 d 4 h ago` or `now`."""
    if not round(seconds):
        return "now"
    return f"in {format_duration(seconds)}" if seconds > 0 else f"{format_duration(-seconds)} ago"


def format_duration(seconds: float) -> str:
    """Return e.g. `3 h 12 min`: the largest unit and the one below it."""
    left = max(round(seconds), 0)
    for (unit, size), (below, part) in pairwise(_UNITS):
        if left >= size:
            more = left % size // part
            return f"{left // size:,} {unit}" + (f" {more} {below}" if more else "")
    return f"{left} s"


def format_runtime(seconds: float | None) -> str:
    """Return `0.002 s`, `14.3 s` or `3 h 12 min`, or an empty string for None."""
    if seconds is None:
        return ""
    return f"{round(seconds, 3):g} s" if seconds < 60 else format_duration(seconds)


def parse_moment(text: str, zone: str, now: datetime) -> datetime:
    """Return the instant that a person means by `text`.

    `30s`, `15min`, `2h`, `1d` and ISO 8601 durations lie before `now`. An ISO 8601 time without an
    offset is a wall time in `zone`. Raises Fault.
    """
    text = text.strip()
    try:
        if ago := _AGO.fullmatch(text):
            return now - int(ago[1]) * timedelta(seconds=dict(_UNITS)[ago[2]])
        if text[:1] in ("P", "p"):
            return now - Interval.from_value(text, ZoneInfo(zone), None).period
    except OverflowError:
        raise Fault(f"{short_repr(text)} ago was before the year 1") from None
    return read_time(text, ZoneInfo(zone))
