"""Rules that do not depend on a wall clock: a fixed interval, or one fire time.

Intervals keep their phase whatever happens. Fire time n is `anchor + n * period`, in the whole
microseconds of `timedelta`, so nothing drifts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from cron_tasks.schedules.budget import Budget
from cron_tasks.schedules.durations import DAY, read_duration
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.iso8601 import read_date, read_time, utc_text, wall_text
from cron_tasks.schedules.zones import EPOCH, to_wall_time
from cron_tasks.text.display import short_repr
from cron_tasks.text.english import join_words

#: 100 years, in seconds.
_LONGEST = 36_525 * DAY


@dataclass(frozen=True, slots=True)
class Interval:
    """A fire time every `period`, in phase with `anchor`, before and after it."""

    spec_key: ClassVar = "e"
    period: timedelta
    anchor: datetime

    @classmethod
    def from_value(cls, value: object, _: ZoneInfo, start: datetime | None) -> "Interval":
        """Read a duration, as in `read_duration`. Raises Fault."""
        seconds = read_duration(value)
        if not 1 <= seconds <= _LONGEST:  # This is false for NaN, too.
            raise Fault(f"{short_repr(value)} is not between 1 second and 100 years")
        return cls(timedelta(seconds=seconds), start or EPOCH)

    @property
    def spec_value(self) -> int | float:
        seconds = self.period.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds

    def find_after(self, when: datetime, _: Budget) -> datetime | None:
        return self.anchor + ((when - self.anchor) // self.period + 1) * self.period

    def find_latest(self, when: datetime, _: Budget) -> datetime | None:
        return self.anchor + (when - self.anchor) // self.period * self.period

    def describe(self) -> str:
        """Return e.g. `Every 5 minutes`. Never use days, because on a wall clock their length
        differs."""
        minutes, seconds = divmod(self.spec_value, 60)
        hours, minutes = divmod(minutes, 60)
        amounts = [(hours, "hour"), (minutes, "minute"), (round(seconds, 6), "second")]
        words = [f"{number:.10g} {unit}{'s' * (number != 1)}" for number, unit in amounts if number]
        return "Every " + (words[0].removeprefix("1 ") if len(words) == 1 else join_words(words))


@dataclass(frozen=True, slots=True)
class Once:
    """One fire time."""

    spec_key: ClassVar = "t"
    at: datetime
    tz: ZoneInfo

    @classmethod
    def from_value(cls, value: object, tz: ZoneInfo, _: datetime | None) -> "Once":
        """Read an ISO 8601 time. Raises Fault."""
        if isinstance(value, str) and read_date(value):
            raise Fault(f"{short_repr(value)} has no time of day, such as 2026-03-01T09:00")
        return cls(read_time(value, tz), tz)

    @property
    def spec_value(self) -> str:
        return utc_text(self.at)

    def find_after(self, when: datetime, _: Budget) -> datetime | None:
        return self.at if when < self.at else None

    def find_latest(self, when: datetime, _: Budget) -> datetime | None:
        return self.at if when >= self.at else None

    def describe(self) -> str:
        return f"Once at {wall_text(to_wall_time(self.tz, self.at))} ({self.tz.key})"
