"""Times as people read them."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


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


def since(text: str, now: float) -> float:
    import re

    m = re.fullmatch(r"(\d+)(s|min|h|d)", text)
    if not m:
        return datetime.fromisoformat(text).timestamp()
    return now - int(m[1]) * dict(_UNITS)[m[2]]
