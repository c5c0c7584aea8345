"""Cron expressions: cronsim knows the grammar and the days, this module says what is wrong.

cronsim's own walk is not used: asked inside a repeated hour it answers with a time already past,
and backwards it overlooks ticks there. Its parsed fields feed a `Grid`, which goes both ways.

At a clock change all expressions follow what cronsim took over from Debian's cron: fixed where
neither minute nor hour starts with `*`, else real (see `walls`). cronsim does so for five fields
only; then `0 30 2 * * *`, with seconds in front, would lose a day that `30 2 * * *` keeps.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import ClassVar, cast
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from cron_tasks.schedules import cron_text, cron_words, wall_clock
from cron_tasks.schedules.budget import Work
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.interval import Interval
from cron_tasks.text.display import short_repr

PREFIX = re.compile(r"^\s*(?:CRON_)?TZ=(\S*)\s*")
_ANY_TIME = datetime(2000, 1, 1)
#: From here on a zone keeps the rule for its clock changes that it has today.
_FAR = datetime(2100, 1, 1, tzinfo=UTC)


def read(
    value: object, tz: ZoneInfo, start: datetime | None, *, stored: bool = False
) -> "Cron | Interval":
    """The rule of an expression, whose zone prefix is left to the caller. Raises Fault.

    One that is `stored` is taken as it is: an earlier version may have accepted other steps.
    """
    if not isinstance(value, str):
        raise Fault(f"{short_repr(value)} is not a text such as '0 9 * * *'")
    if len(value) > 1000:
        raise Fault("is longer than 1,000 characters")
    expression = PREFIX.sub("", value, count=1)
    if every := re.match(r"@every\s+(?=\S)", expression, re.IGNORECASE):
        return Interval.read(expression[every.end() :], tz, start)
    return Cron.of(cron_text.canonical(expression, stored), tz)


@dataclass(frozen=True, slots=True)
class Cron:
    """The ticks of a canonical expression on the wall clock of a zone."""

    key: ClassVar = "c"
    written: str
    tz: ZoneInfo
    grid: wall_clock.Grid
    real: bool

    @classmethod
    def of(cls, expression: str, tz: ZoneInfo) -> "Cron":
        """Raises Fault, also if the expression never fires."""
        parts = expression.split()
        if len(parts) == 5:
            parts = ["0", *parts]
        try:
            second, minute, hour = (_numbers(*item) for item in enumerate(parts[:3]))
            months, matches = _days(*parts[3:])
        except CronSimError:
            raise Fault(*cron_text.faults(parts)) from None
        grid = wall_clock.Grid((hour, minute, second), months, matches)
        return cls(expression, tz, grid, parts[1][0] == "*" or parts[2][0] == "*")

    def after(self, when: datetime, work: Work) -> datetime | None:
        search = wall_clock.real_after if self.real else wall_clock.fixed_after
        return search(self.tz, self.grid, when, work)

    def latest(self, when: datetime, work: Work) -> datetime | None:
        search = wall_clock.real_latest if self.real else wall_clock.fixed_latest
        return search(self.tz, self.grid, when, work)

    def skipped(self, work: Work) -> bool:
        """Whether all times lie in the hour that the clock skips in spring, such as `*/30 2 * 3
        SUN#2` in New York. Raises TooMuchWork."""
        if not self.real or self.written.split()[-4].startswith("*"):
            return False
        return self.after(_FAR, work) is None

    def describe(self) -> str:
        return f"{cron_words.explain(self.written)} ({self.tz.key})"


# A hundred thousand expressions are made of few different fields.


@lru_cache(maxsize=4096)
def _numbers(at: int, text: str) -> tuple[int, ...]:
    return tuple(sorted(cast(set[int], Field(at).parse(text))))


@lru_cache(maxsize=4096)
def _days(day: str, month: str, weekday: str) -> tuple[frozenset[int], Callable[[date], bool]]:
    sim = CronSim(f"0 0 0 {day} {month} {weekday}", _ANY_TIME)
    try:
        next(sim)
    except StopIteration:
        raise CronSimError from None
    return frozenset(sim.months), sim.match_day
