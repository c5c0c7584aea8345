"""Read and write times in the forms that people use."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cron_tasks.schedules.durations import DAY, HOUR, MINUTE, read_span
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.iso8601 import read_time
from cron_tasks.text.display import short_repr

_UNITS = (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", 1))
#: The forms that `parse_moment` accepts, as the end of a sentence.
MOMENTS = (
    "an ISO 8601 time (2026-03-01T09:00), a time of today (09:00), yesterday, "
    "or a span ago (30s, 5m, 2h, 1d, 1h30m, PT90M)"
)
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_CLOCK = re.compile(r"T?([0-9]{1,2})(:.+)")


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
    """Return `<1 ms`, `0.002 s`, `14.3 s` or `3 h 12 min`, or an empty string for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{round(seconds, 3):g} s" if seconds >= 0.0005 else "<1 ms"
    return format_duration(seconds)


def parse_moment(text: str, zone: str, now: datetime) -> datetime:
    """Return the instant that a person means by `text` (docs/contract.md, section 5).

    - A span such as `30s`, `5m`, `1h30m` or `PT90M` lies before `now`. Its units are those of
      `every`.
    - `09:00` is today in `zone`. `yesterday` is the midnight at which that day began, and
      `yesterday 09:00` a time of it. So are `today` and `tomorrow`.
    - Anything else is ISO 8601. Without an offset it is a wall time in `zone`.

    Raises Fault, which names the accepted forms.
    """
    written = text.strip()
    if written.lower() == "now":
        return now
    if (seconds := read_span(written)) is not None:
        with suppress(OverflowError):
            return now - timedelta(seconds=seconds)
        raise Fault(f"{short_repr(text)} ago was before the year 1")
    tz = ZoneInfo(zone)
    iso = _spell_out(written, now.astimezone(tz).date())
    try:
        datetime.fromisoformat(iso)
    except ValueError:
        raise Fault(f"{short_repr(text)} is not {MOMENTS}") from None
    return read_time(iso, tz)


def _spell_out(text: str, today: date) -> str:
    """Return the ISO 8601 time of `9:00`, `yesterday` and `yesterday 9:00`, or `text` as it is."""
    word, _, clock = text.partition(" ")
    days = _DAYS.get(word.lower())
    day = today + timedelta(days or 0)
    if days is not None and not clock:
        return f"{day}"
    match = _CLOCK.fullmatch(text if days is None else clock.strip())
    return f"{day}T{match[1]:0>2}{match[2]}" if match else text
