"""Ticks that no wall clock governs: at a fixed interval, or once.

Intervals keep their phase whatever happens: tick n is `anchor + n * period`, in the whole
microseconds of `timedelta`, so nothing drifts.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules.budget import Work
from cron_tasks.schedules.faults import Fault, listed
from cron_tasks.schedules.zones import EPOCH, local, read_date, read_time, utc_text, wall_text
from cron_tasks.text.display import short_repr

_LONGEST = 36525 * 86400
_NUMBER = r"([0-9]{1,12}(?:[.,][0-9]+)?)"
#: ISO 8601: `PT1H30M` and `P1W`.
_DURATION = re.compile(
    f"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T|$)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?"
)
#: As people write it, also after `@every`: `1h30m`, `40d`, `5 min`.
_UNITS = re.compile(
    rf"(?:{_NUMBER} ?W)?\s*(?:{_NUMBER} ?D)?\s*(?:{_NUMBER} ?H)?\s*"
    rf"(?:{_NUMBER} ?M(?:IN)?)?\s*(?:{_NUMBER} ?S)?"
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A tick every `period`, in phase with `anchor`, before and after it."""

    key: ClassVar = "e"
    period: timedelta
    anchor: datetime

    @classmethod
    def read(cls, value: object, _: ZoneInfo, start: datetime | None) -> "Interval":
        """Of seconds, as number or text, of an ISO 8601 duration, or of `1h30m`. Raises Fault."""
        seconds = _seconds(value)
        if not 1 <= seconds <= _LONGEST:  # false for NaN, too
            raise Fault(f"{short_repr(value)} is not between 1 second and 100 years")
        return cls(timedelta(seconds=seconds), start or EPOCH)

    @property
    def written(self) -> int | float:
        seconds = self.period.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds

    def after(self, when: datetime, _: Work) -> datetime | None:
        return self.anchor + ((when - self.anchor) // self.period + 1) * self.period

    def latest(self, when: datetime, _: Work) -> datetime | None:
        return self.anchor + (when - self.anchor) // self.period * self.period

    def describe(self) -> str:
        """`Every 5 minutes`; never in days, which on a wall clock differ in length."""
        minutes, seconds = divmod(self.written, 60)
        hours, minutes = divmod(minutes, 60)
        amounts = [(hours, "hour"), (minutes, "minute"), (round(seconds, 6), "second")]
        named = [f"{number:.10g} {unit}{'s' * (number != 1)}" for number, unit in amounts if number]
        return "Every " + (named[0].removeprefix("1 ") if len(named) == 1 else listed(named))


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = value.strip().upper().replace(",", ".") if isinstance(value, str) else ""
    if re.fullmatch(_NUMBER, text):
        return float(text)
    match = _DURATION.fullmatch(text) or _UNITS.fullmatch(text)
    if match and any(match.groups()):
        weeks, days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds
    raise Fault(
        f"{short_repr(value)} is neither seconds nor an ISO 8601 duration such as PT5M"
        " (years and months have no fixed length)"
    )


@dataclass(frozen=True, slots=True)
class Once:
    """One tick."""

    key: ClassVar = "t"
    at: datetime
    tz: ZoneInfo

    @classmethod
    def read(cls, value: object, tz: ZoneInfo, _: datetime | None) -> "Once":
        """Of an ISO 8601 time. Raises Fault."""
        if isinstance(value, str) and read_date(value):
            raise Fault(f"{short_repr(value)} has no time of day, such as 2026-03-01T09:00")
        return cls(read_time(value, tz), tz)

    @property
    def written(self) -> str:
        return utc_text(self.at)

    def after(self, when: datetime, _: Work) -> datetime | None:
        return self.at if when < self.at else None

    def latest(self, when: datetime, _: Work) -> datetime | None:
        return self.at if when >= self.at else None

    def describe(self) -> str:
        return f"Once at {wall_text(local(self.tz, self.at))} ({self.tz.key})"
