"""Read and write times as ISO 8601 text. Pure."""

from contextlib import suppress
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.zones import FIRST, LAST, ONE_DAY, instants_showing
from cron_tasks.text.display import short_repr


def read_time(text: object, tz: ZoneInfo, *, end: bool = False) -> datetime:
    """Return the instant of an ISO 8601 text. Without an offset it is a wall time in `tz`.

    A date alone is its first moment, or with `end` the first moment after it. Raises Fault.
    """
    # RFC 3339 allows a lower-case `t` and `z`, too.
    written = text.strip().upper() if isinstance(text, str) else ""
    day = read_date(written)
    try:
        wall = datetime.combine(day, time()) if day else datetime.fromisoformat(written)
    except ValueError:
        example = "2026-03-01T09:00:00+01:00"
        raise Fault(f"{short_repr(text)} is not an ISO 8601 time such as {example}") from None
    with suppress(OverflowError):
        wall += ONE_DAY if day and end else timedelta()
        instant = wall.astimezone(UTC) if wall.tzinfo else instants_showing(tz, wall)[0]
        if FIRST <= instant < LAST:
            return instant
    raise Fault(f"{short_repr(text)} lies outside the years 2 to 9998")


def read_start(text: object, tz: ZoneInfo) -> datetime | None:
    """Return the instant of a `start_at`, or None if it lies before the year 2.

    The earliest times of other systems, such as 0001-01-01, mean "no start". Raises Fault.
    """
    return None if _read_year(text) == MINYEAR else read_time(text, tz)


def read_end(text: object, tz: ZoneInfo) -> datetime | None:
    """Return the instant of an `end_at`, or None if it lies in the year 9999.

    The latest times of other systems, such as 9999-12-31, mean "no end". Raises Fault.
    """
    return None if _read_year(text) == MAXYEAR else read_time(text, tz, end=True)


def _read_year(text: object) -> int | None:
    """Return the year of an ISO 8601 text as written, or None if it is something else."""
    with suppress(ValueError):
        return datetime.fromisoformat(text.strip().upper() if isinstance(text, str) else "").year
    return None


def read_date(text: str) -> date | None:
    """Return the date of an ISO 8601 text, or None if it is something else."""
    with suppress(ValueError):
        return date.fromisoformat(text.strip())
    return None


@lru_cache(maxsize=65536)
def iso_utc(when: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, such as `2026-03-01T08:00:00.500Z`.

    The text has as many decimals as the time needs: none, three or six.
    """
    moment = datetime.fromtimestamp(when, UTC)
    decimals = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    text = moment.isoformat(timespec=decimals if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def utc_text(instant: datetime) -> str:
    """Return an instant as specs store it: `2026-03-01T08:00:00Z`, with no or six decimals."""
    return instant.isoformat().replace("+00:00", "Z")


def wall_text(wall: datetime) -> str:
    """Return a wall time as `2026-03-01 09:00`, with seconds only if there are any."""
    return wall.isoformat(" ", "auto" if wall.second or wall.microsecond else "minutes")
