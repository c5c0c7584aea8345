"""Cron expressions: cronsim knows the grammar and the days, this module says what is wrong.

cronsim's own walk is not used: asked inside a repeated hour it answers with a time already past,
and backwards it overlooks ticks there. Its parsed fields feed `walls.Grid`, which goes both ways.

At a clock change all expressions follow what cronsim took over from Debian's cron: fixed where
neither minute nor hour starts with `*`, else real (see `walls`). cronsim does so for five fields
only; then `0 30 2 * * *`, with seconds in front, would lose a day that `30 2 * * *` keeps.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import ClassVar, cast
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import SYMBOLIC_DAYS, SYMBOLIC_MONTHS, Field

from cron_tasks.schedules import walls
from cron_tasks.schedules.interval import Interval
from cron_tasks.schedules.words import Fault
from cron_tasks.text import shown, suggestion

PREFIX = re.compile(r"^\s*(?:CRON_)?TZ=(\S*)\s*")
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = "minute hour day-of-month month weekday"
#: Name, lowest and highest number, words, and what else there may be.
_GRAMMAR: tuple[tuple[str, int, int, list[str], str], ...] = (
    ("second", 0, 59, [], ""),
    ("minute", 0, 59, [], ""),
    ("hour", 0, 23, [], ""),
    ("day-of-month", 1, 31, [], ", L (the last), LW (the last from Monday to Friday)"),
    ("month", 1, 12, SYMBOLIC_MONTHS, " or JAN–DEC"),
    ("weekday", 0, 7, SYMBOLIC_DAYS, " or SUN–SAT, MON#1 to MON#5, 5L (the last Friday)"),
)
_ANY_TIME = datetime(2000, 1, 1)


def read(value: object, tz: ZoneInfo, start: datetime | None) -> "Cron | Interval":
    """The rule of an expression, whose zone prefix is left to the caller. Raises Fault."""
    if not isinstance(value, str):
        raise Fault(f"{shown(value)} is not a text such as '0 9 * * *'")
    if len(value) > 1000:
        raise Fault("is longer than 1,000 characters")
    expression = PREFIX.sub("", value, count=1)
    if every := re.match(r"@every\s+", expression, re.IGNORECASE):
        return Interval.read(expression[every.end() :], tz, start)
    return Cron.of(_canonical(expression), tz)


def _canonical(expression: str) -> str:
    """Five or six fields in one spelling, nicknames resolved."""
    parts = expression.split()
    if parts and parts[0].startswith("@"):
        nickname = parts[0].lower()
        if len(parts) > 1 or nickname not in _NICKNAMES:
            hint = suggestion(nickname, [*_NICKNAMES, "@every"])
            raise Fault(f"unknown nickname {shown(' '.join(parts))}{hint}")
        return _NICKNAMES[nickname]
    if len(parts) not in (5, 6):
        count = f"{len(parts)} field{'s' * (len(parts) != 1)}"
        raise Fault(f"has {count}; expected 5 ({_FIELDS}) or 6 (second first)")
    return " ".join(parts).upper()


@dataclass(frozen=True, slots=True)
class Cron:
    """The ticks of a canonical expression on the wall clock of a zone."""

    key: ClassVar = "c"
    written: str
    tz: ZoneInfo
    grid: walls.Grid
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
            raise Fault(*_faults(parts)) from None
        grid = walls.Grid((hour, minute, second), months, matches)
        return cls(expression, tz, grid, parts[1][0] == "*" or parts[2][0] == "*")

    def after(self, when: datetime) -> datetime | None:
        return (walls.real_after if self.real else walls.fixed_after)(self.tz, self.grid, when)

    def latest(self, when: datetime) -> datetime | None:
        return (walls.real_latest if self.real else walls.fixed_latest)(self.tz, self.grid, when)

    def describe(self) -> str:
        return f"{CronSim(self.written, _ANY_TIME).explain()} ({self.tz.key})"


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


def _faults(parts: list[str]) -> list[str]:
    """What a person has to mend in an expression that cronsim refused."""
    terms = [(at, term) for at, text in enumerate(parts) for term in text.split(",")]
    found = [fault for at, term in terms if (fault := _term_fault(at, term))]
    day, month, weekday = parts[3:]
    never = f"no date has day-of-month '{day}', month '{month}' and weekday '{weekday}'"
    return found or [f"{never}: the expression never fires"]


def _term_fault(at: int, term: str) -> str | None:
    """Of one item between commas."""
    try:
        Field(at).parse(term)
    except CronSimError:
        name, low, high, words, also = _GRAMMAR[at]
        for number in re.findall("[0-9]+", re.split("[/#]", term)[0]):
            if not low <= int(number) <= high:
                return f"{name} {shown(int(number))} is not in {low}–{high}"
        unknown = [word for word in re.findall("[A-Z]+", term) if word not in words]
        hint = suggestion(unknown[0], words) if unknown else ""
        return f"{name} {shown(term)} is not {low}–{high}{also}, a rising range or a step{hint}"
    return None
