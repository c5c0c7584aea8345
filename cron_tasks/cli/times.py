"""Times and schedules as people read them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from cron_tasks.schedules import Schedule

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def local(when: datetime | float | None, zone: str) -> str | None:
    """ISO 8601 with offset in `zone`; a number is seconds since the epoch."""
    if when is None:
        return None
    moment = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    return moment.astimezone(ZoneInfo(zone)).isoformat()


def distance(when: datetime, now: datetime) -> str:
    """`in 3 h 12 min`, `2 d 4 h ago`, `now`."""
    seconds = round((when - now).total_seconds())
    if not seconds:
        return "now"
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"


def duration(seconds: float) -> str:
    """`3 h 12 min`: the largest unit and the one below it."""
    left, parts = max(round(seconds), 0), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        parts.append((count, unit))
    while len(parts) > 1 and not parts[0][0]:
        del parts[0]
    return " ".join(f"{count:,} {unit}" for count, unit in parts[:2] if count) or "0 s"


def ticks(schedule: Schedule, when: datetime, most: int) -> list[datetime]:
    """The ticks strictly after `when`, `most` of them at most."""
    return list(islice(_ticks(schedule, when), most))


def _ticks(schedule: Schedule, when: datetime) -> Iterator[datetime]:
    tick = schedule.after(when)
    while tick is not None:
        yield tick
        tick = schedule.after(tick)


def tick_cells(tick: datetime, zone: str, now: datetime) -> tuple[str, str, str]:
    """A tick as a row: time with offset, weekday, distance."""
    moment = tick.astimezone(ZoneInfo(zone))
    return moment.isoformat(), f"{moment:%a}", distance(tick, now)
