"""Cron expressions: cronsim knows the grammar and the days, this module says what is wrong.

cronsim's own walk is not used: asked inside a repeated hour it answers with a time already past,
and backwards it overlooks ticks there. Its parsed fields feed `_wall.Grid`, which goes both ways.
Its errors name a field but no reason, so what it refuses is examined again, for people. Fields are
parsed one by one and cached: 100,000 expressions consist of few different fields.

At a clock change all expressions follow what cronsim took over from Debian's cron: fixed where
neither minute nor hour starts with `*`, else real (see `_wall`). cronsim does so for five fields
only; then `0 30 2 * * *`, with seconds in front, would lose a day that `30 2 * * *` keeps.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from cron_tasks.schedules import _wall
from cron_tasks.schedules._words import MONTHS, Fault, listed, quoted, suggestion

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ORDER = "minute hour day-of-month month day-of-week"
_ANY_TIME = datetime(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    attribute: str = ""
    words: tuple[str, ...] = ()


_SECOND = _Field("second", 0, 59, "seconds")
_MINUTE = _Field("minute", 0, 59, "minutes")
_HOUR = _Field("hour", 0, 23, "hours")
_DAY = _Field("day-of-month", 1, 31)
_MONTH = _Field("month", 1, 12, words=tuple(name[:3].upper() for name in MONTHS))
_WEEKDAY = _Field("weekday", 0, 7, words=("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


def split(expression: str) -> tuple[str, str | None]:
    """The expression proper and the zone of a `CRON_TZ=Zone ` or `TZ=Zone ` prefix."""
    if match := re.match(r"\s*(?:CRON_TZ|TZ)=(\S*)\s*", expression):
        return expression[match.end() :], match[1]
    return expression, None


def canonical(expression: str) -> str:
    """Five or six fields in one spelling, nicknames resolved. Raises Fault with every fault."""
    if len(expression) > 1000:
        raise Fault("is longer than 1,000 characters")
    parts = expression.split()
    if parts and parts[0].startswith("@"):
        nickname = " ".join(parts)
        if nickname.lower() == "@reboot":
            raise Fault("'@reboot' names no time")
        if nickname.lower() not in NICKNAMES:
            hint = suggestion(nickname, [*NICKNAMES, "@every"])
            raise Fault(f"unknown nickname {quoted(nickname)}{hint}")
        return NICKNAMES[nickname.lower()]
    if len(parts) not in (5, 6):
        hint = ("", "; the year that Quartz adds is not supported")[len(parts) == 7]
        raise Fault(
            f"has {len(parts)} field{'s' * (len(parts) != 1)}; expected 5 ({_ORDER})"
            f" or 6 (second first){hint}"
        )
    return " ".join(parts).upper()


@dataclass(frozen=True, slots=True)
class Cron:
    """The ticks of a canonical expression on the wall clock of a zone."""

    expression: str
    tz: ZoneInfo
    _grid: _wall.Grid = field(init=False, repr=False, compare=False)
    _real: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises Fault if the expression is wrong or never fires."""
        parts = canonical(self.expression).split()
        second, minute, hour, *days = parts if len(parts) == 6 else ["0", *parts]
        try:
            grid = _wall.Grid(
                _values(_HOUR, hour),
                _values(_MINUTE, minute),
                _values(_SECOND, second),
                *_days(*days),
            )
        except CronSimError:
            raise Fault(*_faults([second, minute, hour, *days])) from None
        object.__setattr__(self, "_grid", grid)
        object.__setattr__(self, "_real", minute.startswith("*") or hour.startswith("*"))

    def after(self, when: datetime) -> datetime | None:
        return (_wall.real_after if self._real else _wall.fixed_after)(self.tz, self._grid, when)

    def latest(self, when: datetime) -> datetime | None:
        return (_wall.real_latest if self._real else _wall.fixed_latest)(self.tz, self._grid, when)

    def describe(self) -> str:
        return f"{CronSim(self.expression, _ANY_TIME).explain()} ({self.tz.key})"


@lru_cache(maxsize=4096)
def _values(kind: _Field, text: str) -> tuple[int, ...]:
    fields = ["*"] * 6
    fields[_FIELDS.index(kind)] = text
    return tuple(sorted(getattr(CronSim(" ".join(fields), _ANY_TIME), kind.attribute)))


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
    found = [
        fault
        for kind, text in zip(_FIELDS, parts, strict=True)
        for term in text.split(",")
        if (fault := _term_fault(kind, term))
    ]
    return found or [_never(*parts[3:])]


def _term_fault(kind: _Field, term: str) -> str | None:
    """The first fault of one item between commas, None if it is right."""
    if not term:
        return f"{kind.name} has an empty item"
    if term == "?":
        return f"{kind.name} '?' is Quartz's word for '*': write '*'"
    if kind is _DAY and re.fullmatch(r"L(W?)(/\d+)?", term):
        return None
    if kind is _DAY and re.fullmatch(r"\d+W|L-\d+", term):
        return f"day-of-month '{term}' is not supported; 'L' (last day) and 'LW' (last weekday) are"
    if kind is _WEEKDAY and (match := re.fullmatch(r"(.*?)(?:L|#(.*))", term)):
        if match[2] is not None and match[2] not in ("1", "2", "3", "4", "5"):
            return f"weekday {quoted(term)}: after '#' comes 1 to 5"
        if match[2] is not None or match[1].isdigit():
            return _value_fault(kind, match[1])
        if not match[1]:
            return "weekday 'L' needs its day: '5L' is the last Friday of the month"
        return f"weekday {quoted(term)}: before 'L' comes 0 to 7; '5L' is the last Friday"
    span, slash, step = term.partition("/")
    if slash and not (re.fullmatch(r"[0-9]+", step) and int(step)):
        return f"{kind.name} {quoted(term)}: the step after '/' is a whole number from 1"
    if span == "*":
        return None
    ends = span.split("-", 1)
    if fault := next(filter(None, (_value_fault(kind, end) for end in ends)), None):
        return fault
    if len(ends) == 2 and _number(kind, ends[1]) < _number(kind, ends[0]):
        first, last = ends
        return (
            f"{kind.name} range '{span}' runs backwards;"
            f" write '{first}-{kind.high - (kind is _WEEKDAY)},{kind.low}-{last}'"
        )
    return None


def _value_fault(kind: _Field, text: str) -> str | None:
    limits = f"{kind.low}–{kind.high}"
    if text in kind.words:
        return None
    if re.fullmatch(r"[0-9]+", text):
        inside = kind.low <= int(text) <= kind.high
        return None if inside else f"{kind.name} {quoted(int(text))} is not in {limits}"
    if kind.words and text:
        return f"unknown {kind.name} {quoted(text)}{suggestion(text, kind.words)}"
    return f"{kind.name} {quoted(text)} is not a number in {limits}"


def _number(kind: _Field, text: str) -> int:
    if text in kind.words:
        return kind.words.index(text) + kind.low
    return int(text)


def _never(day: str, month: str, weekday: str) -> str:
    """Why an expression of correct fields has no day at all."""
    if day.isdigit() and weekday == "*":
        months = [MONTHS[_number(_MONTH, name) - 1] for name in re.findall(r"\w+", month)]
        if "/" not in month and "-" not in month:
            return f"{day} {listed(months, 'or')} never comes: the expression never fires"
    return (
        f"no date has day-of-month '{day}', month '{month}' and weekday '{weekday}':"
        " the expression never fires"
    )
