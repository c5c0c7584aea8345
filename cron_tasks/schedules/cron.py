"""Cron expressions: cronsim knows the grammar and the days, this module says what is wrong.

cronsim's own walk is not used: asked inside a repeated hour it answers with a time already past,
and backwards it overlooks ticks there. Its parsed fields feed `walls.Grid`, which goes both ways.

At a clock change all expressions follow what cronsim took over from Debian's cron: fixed where
neither minute nor hour starts with `*`, else real (see `walls`). cronsim does so for five fields
only; then `0 30 2 * * *`, with seconds in front, would lose a day that `30 2 * * *` keeps.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import ClassVar, NamedTuple, cast
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import SYMBOLIC_DAYS, SYMBOLIC_MONTHS, Field

from cron_tasks.schedules import cron_words, walls
from cron_tasks.schedules.interval import Interval
from cron_tasks.schedules.words import Fault
from cron_tasks.schedules.work import Work
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
#: Nicknames that other systems know, and what to write here.
_FOREIGN = {
    "@every": "'@every 5m', or the field `every`",
    "@minutely": "'* * * * *'",
    "@every_minute": "'* * * * *'",
    "@secondly": "'* * * * * *'",
    "@every_second": "'* * * * * *'",
    "@weekdays": "'0 0 * * MON-FRI'",
    "@quarterly": "'0 0 1 */3 *'",
}
_FIELDS = "minute hour day-of-month month weekday"


class _Grammar(NamedTuple):
    """A field: its lowest and highest number, the words for numbers, and what else there may be.

    `last` is the number at the end of the field: weekday 7 is Sunday again. `unit` is the one in
    which `every` counts what a step of the field counts; a month has none.
    """

    name: str
    low: int
    high: int
    last: int
    words: list[str]
    also: str
    unit: str


_GRAMMAR = (
    _Grammar("second", 0, 59, 59, [], "", "s"),
    _Grammar("minute", 0, 59, 59, [], "", "m"),
    _Grammar("hour", 0, 23, 23, [], "", "h"),
    _Grammar(
        "day-of-month", 1, 31, 31, [], ", L (the last), LW (the last from Monday to Friday)", "d"
    ),
    _Grammar("month", 1, 12, 12, SYMBOLIC_MONTHS, " or JAN–DEC", ""),
    _Grammar(
        "weekday", 0, 7, 6, SYMBOLIC_DAYS, " or SUN–SAT, MON#1 to MON#5, 5L (the last Friday)", "d"
    ),
)
_DAY_FIELDS = (3, 5)
_STEP = re.compile(r"(?:(\*)|([0-9A-Z]+)(?:-([0-9A-Z]+))?)/([0-9]+)")
#: By hand only: what people who look for a date that never comes may have in mind.
_BY_HAND = (
    "; a job that is only run by hand has `enabled: false` and any schedule, "
    "and `cron-tasks jobs run` runs it"
)
_ANY_TIME = datetime(2000, 1, 1)
#: From here on a zone keeps the rule for its clock changes that it has today.
_FAR = datetime(2100, 1, 1, tzinfo=UTC)
_UNITS = {"": "months", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read(
    value: object, tz: ZoneInfo, start: datetime | None, *, stored: bool = False
) -> "Cron | Interval":
    """The rule of an expression, whose zone prefix is left to the caller. Raises Fault.

    One that is `stored` is taken as it is: an earlier version may have accepted other steps.
    """
    if not isinstance(value, str):
        raise Fault(f"{shown(value)} is not a text such as '0 9 * * *'")
    if len(value) > 1000:
        raise Fault("is longer than 1,000 characters")
    expression = PREFIX.sub("", value, count=1)
    if every := re.match(r"@every\s+(?=\S)", expression, re.IGNORECASE):
        return Interval.read(expression[every.end() :], tz, start)
    return Cron.of(_canonical(expression, stored), tz)


def _canonical(expression: str, stored: bool) -> str:
    """Return five or six fields in one spelling, nicknames resolved. Raises Fault."""
    parts = expression.split()
    if parts and parts[0].startswith("@"):
        nickname = parts[0].lower()
        if len(parts) > 1 or nickname not in _NICKNAMES:
            raise Fault(f"unknown nickname {shown(' '.join(parts))}{_meant(nickname)}")
        return _NICKNAMES[nickname]
    if len(parts) not in (5, 6):
        count = f"{len(parts)} field{'s' * (len(parts) != 1)}"
        raise Fault(f"has {count}; expected 5 ({_FIELDS}) or 6 (second first)")
    fields = list(enumerate(" ".join(parts).upper().split(), 6 - len(parts)))
    if not stored and (faults := [fault for field in fields for fault in _odd(*field)]):
        raise Fault(*faults)
    texts = ["*" if text == "?" else text for _, text in fields]
    if not stored:
        texts[-1] = ",".join(map(_to_saturday, texts[-1].split(",")))
    return " ".join(texts)


def _meant(nickname: str) -> str:
    known = "@every" if re.fullmatch("@every[0-9].*", nickname) else nickname
    hint = f"; write {_FOREIGN[known]}" if known in _FOREIGN else ""
    return hint or suggestion(nickname, _NICKNAMES)


def _odd(at: int, text: str) -> Iterator[str]:
    """Yield the faults of a field which cronsim would not find, or not explain."""
    if text == "?" and at in _DAY_FIELDS:
        return
    for term in text.split(","):
        if "?" in term:
            where = "stands alone in" if at in _DAY_FIELDS else "is only for"
            yield f"{_GRAMMAR[at].name} {shown(term)}: '?' {where} day-of-month or weekday; write *"
        elif (step := _STEP.fullmatch(term)) and (fault := _too_far(at, term, step)):
            yield fault


def _too_far(at: int, term: str, step: re.Match[str]) -> str | None:
    """Return the fault of a step that leads beyond the end of its range at once."""
    field = _GRAMMAR[at]
    low = _number(field, step[2]) if step[2] else field.low
    high = _number(field, step[3]) if step[3] else max(field.last, low or 0)
    if low is None or high is None or not field.low <= low <= high <= field.high:
        return None
    size = int(step[4]) if len(step[4]) < 10 else 10**9
    if size <= max(high - low, 1):
        return None
    fault = f"{field.name} {shown(term)}: the step is larger than the range {low}–{high}"
    if step[1] and size < 10**9:
        fault += f"; for every {size} {_UNITS[field.unit]}, use {_instead(field.unit, size)}"
    return fault


def _instead(unit: str, size: int) -> str:
    return f"`every: {size}{unit}`" if unit else f"`rrule: FREQ=MONTHLY;INTERVAL={size}`"


def _number(field: _Grammar, text: str) -> int | None:
    if text in field.words:
        return field.words.index(text) + (field.low if field.name == "month" else 0)
    return int(text) if text.isdecimal() and len(text) < 4 else None


def _to_saturday(term: str) -> str:
    """Let a weekday with a step end on Saturday, so that 1/2 is Monday, Wednesday and Friday.

    The number 7 is Sunday again, and cronsim would go on to it.
    """
    start, _, step = term.partition("/")
    field = _GRAMMAR[5]
    number = _number(field, start)
    if not step or number is None or number > field.high:
        return term
    return f"{start}-{field.last}/{step}" if number < field.last else start


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

    def after(self, when: datetime, work: Work) -> datetime | None:
        search = walls.real_after if self.real else walls.fixed_after
        return search(self.tz, self.grid, when, work)

    def latest(self, when: datetime, work: Work) -> datetime | None:
        search = walls.real_latest if self.real else walls.fixed_latest
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


def _faults(parts: list[str]) -> list[str]:
    """What a person has to mend in an expression that cronsim refused."""
    terms = [(at, term) for at, text in enumerate(parts) for term in text.split(",")]
    found = [fault for at, term in terms if (fault := _term_fault(at, term))]
    day, month, weekday = parts[3:]
    never = f"no date has day-of-month '{day}', month '{month}' and weekday '{weekday}'"
    return found or [f"{never}: the expression never fires{_BY_HAND}"]


def _term_fault(at: int, term: str) -> str | None:
    """Of one item between commas."""
    try:
        Field(at).parse(term)
    except CronSimError:
        name, low, high, _, words, also, _ = _GRAMMAR[at]
        for number in re.findall("[0-9]+", re.split("[/#]", term)[0]):
            if not low <= int(number) <= high:
                return f"{name} {shown(int(number))} is not in {low}–{high}"
        unknown = [word for word in re.findall("[A-Z]+", term) if word not in words]
        hint = suggestion(unknown[0], words) if unknown else ""
        return f"{name} {shown(term)} is not {low}–{high}{also}, a rising range or a step{hint}"
    return None
