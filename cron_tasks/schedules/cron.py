"""Cron expressions. cronsim parses the grammar and the days, and this module explains faults.

cronsim's own search is not used. Within a repeated hour it returns a time already past, and
backwards it overlooks fire times there. Its parsed fields feed a `Grid`, which works both ways.

At a clock change all expressions follow the rule that cronsim took over from Debian's cron: *fixed*
if neither minute nor hour starts with `*`, else *real* (see `wall_clock`). cronsim applies it to
five fields only. Then `0 30 2 * * *`, with seconds first, would lose a day that `30 2 * * *` keeps.
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
from cron_tasks.schedules.budget import Budget
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.interval import Interval
from cron_tasks.text.display import short_repr

ZONE = re.compile(r"^\s*(?:CRON_)?TZ=(\S*)\s*")
_LONGEST = 1_000
_ANY_TIME = datetime(2000, 1, 1)
#: From this year on, every zone repeats its current rule for clock changes.
_FAR = datetime(2100, 1, 1, tzinfo=UTC)


def read_cron(
    value: object, tz: ZoneInfo, start: datetime | None, *, stored: bool = False
) -> "Cron | Interval":
    """Return the rule of an expression. The caller reads its zone prefix. Raises Fault.

    A `stored` expression is not checked for odd terms: an earlier version may have accepted other
    steps.
    """
    if not isinstance(value, str):
        raise Fault(f"{short_repr(value)} is not a text such as '0 9 * * *'")
    if len(value) > _LONGEST:
        raise Fault(f"is longer than {_LONGEST:,} characters")
    expression = ZONE.sub("", value, count=1)
    if every := re.match(r"@every\s+(?=\S)", expression, re.IGNORECASE):
        return Interval.from_value(expression[every.end() :], tz, start)
    return Cron.from_text(cron_text.normalize_expression(expression, stored), tz)


@dataclass(frozen=True, slots=True)
class Cron:
    """The fire times of a normalized expression on the wall clock of a zone."""

    spec_key: ClassVar = "c"
    spec_value: str
    tz: ZoneInfo
    grid: wall_clock.Grid
    is_real: bool

    @classmethod
    def from_text(cls, expression: str, tz: ZoneInfo) -> "Cron":
        """Parse a normalized expression. Raises Fault, including for an expression that never
        fires."""
        parts = expression.split()
        if len(parts) == 5:
            parts = ["0", *parts]
        try:
            second, minute, hour = (_parse_numbers(*item) for item in enumerate(parts[:3]))
            months, matches = _parse_days(*parts[3:])
        except CronSimError:
            raise Fault(*cron_text.explain_faults(parts)) from None
        grid = wall_clock.Grid((hour, minute, second), months, matches)
        return cls(expression, tz, grid, parts[1][0] == "*" or parts[2][0] == "*")

    def find_after(self, when: datetime, budget: Budget) -> datetime | None:
        search = wall_clock.real_after if self.is_real else wall_clock.fixed_after
        return search(self.tz, self.grid, when, budget)

    def find_latest(self, when: datetime, budget: Budget) -> datetime | None:
        search = wall_clock.real_latest if self.is_real else wall_clock.fixed_latest
        return search(self.tz, self.grid, when, budget)

    def skips_every_time(self, budget: Budget) -> bool:
        """Return whether all times lie in the hour that the clock skips in spring.

        An example is `*/30 2 * 3 SUN#2` in New York. Raises TooMuchWork.
        """
        if not self.is_real or self.spec_value.split()[-4].startswith("*"):
            return False
        return self.find_after(_FAR, budget) is None

    def describe(self) -> str:
        return f"{cron_words.describe_expression(self.spec_value)} ({self.tz.key})"


# A hundred thousand expressions consist of few different fields.


@lru_cache(maxsize=4096)
def _parse_numbers(at: int, text: str) -> tuple[int, ...]:
    return tuple(sorted(cast(set[int], Field(at).parse(text))))


@lru_cache(maxsize=4096)
def _parse_days(
    day: str, month: str, weekday: str
) -> tuple[frozenset[int], Callable[[date], bool]]:
    """Return the months, and a test for dates. Raises CronSimError if no date passes."""
    sim = CronSim(f"0 0 0 {day} {month} {weekday}", _ANY_TIME)
    try:
        next(sim)
    except StopIteration:
        raise CronSimError from None
    return frozenset(sim.months), sim.match_day
