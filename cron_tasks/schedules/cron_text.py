"""Reading the text of a cron expression: one spelling of it, and what is wrong with it.

cronsim knows the grammar. Here is what it accepts but no person means, what Quartz writes in
another way, and a sentence for each thing that it refuses.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from cronsim import CronSimError
from cronsim.cronsim import SYMBOLIC_DAYS, SYMBOLIC_MONTHS, Field

from cron_tasks.schedules.faults import Fault
from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import suggest_nearest

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
_UNITS = {"": "months", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def canonical(expression: str, stored: bool) -> str:
    """Return five or six fields in one spelling, nicknames resolved. Raises Fault."""
    parts = expression.split()
    if parts and parts[0].startswith("@"):
        nickname = parts[0].lower()
        if len(parts) > 1 or nickname not in _NICKNAMES:
            raise Fault(f"unknown nickname {short_repr(' '.join(parts))}{_meant(nickname)}")
        return _NICKNAMES[nickname]
    if len(parts) not in (5, 6):
        count = f"{len(parts)} field{'s' * (len(parts) != 1)}"
        raise Fault(f"has {count}; expected 5 ({_FIELDS}) or 6 (second first)")
    if stored:
        return " ".join(parts).upper()
    fields = list(enumerate(" ".join(parts).upper().split(), 6 - len(parts)))
    spelled = [_spelled(*field) for field in fields]
    if None in spelled:
        terms = [(at, term) for at, text in fields for term in text.split(",") if text != "?"]
        terms += [(at, text) for at, text in fields if text == "?" and at not in _DAY_FIELDS]
        raise Fault(*filter(None, (_odd(*each) or _term_fault(*each) for each in sorted(terms))))
    return " ".join(filter(None, spelled))


@lru_cache(maxsize=4096)
def _spelled(at: int, text: str) -> str | None:
    """Return a field in its one spelling, None if it is odd."""
    if text == "?" and at in _DAY_FIELDS:
        return "*"
    terms = text.split(",")
    if any(_odd(at, term) for term in terms):
        return None
    return ",".join(map(_to_saturday, terms)) if _GRAMMAR[at].name == "weekday" else text


def _meant(nickname: str) -> str:
    known = "@every" if re.fullmatch("@every[0-9].*", nickname) else nickname
    hint = f"; write {_FOREIGN[known]}" if known in _FOREIGN else ""
    return hint or suggest_nearest(nickname, _NICKNAMES)


def _odd(at: int, term: str) -> str | None:
    """Return the fault of a term which cronsim would not find, or not explain."""
    if "?" in term:
        where = "stands alone in" if at in _DAY_FIELDS else "is only for"
        return (
            f"{_GRAMMAR[at].name} {short_repr(term)}: '?' {where} day-of-month or weekday; write *"
        )
    step = _STEP.fullmatch(term)
    return _too_far(at, term, step) if step else None


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
    fault = f"{field.name} {short_repr(term)}: the step is larger than the range {low}–{high}"
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


def faults(parts: list[str]) -> list[str]:
    """Return what a person has to mend in an expression that cronsim refused."""
    terms = [(at, term) for at, text in enumerate(parts) for term in text.split(",")]
    found = [fault for at, term in terms if (fault := _term_fault(at, term))]
    day, month, weekday = parts[3:]
    never = f"no date has day-of-month '{day}', month '{month}' and weekday '{weekday}'"
    return found or [f"{never}: the expression never fires{_BY_HAND}"]


def _term_fault(at: int, term: str) -> str | None:
    """Return what is wrong with one comma-separated term, or None."""
    try:
        Field(at).parse(term)
    except CronSimError:
        name, low, high, _, words, also, _ = _GRAMMAR[at]
        for number in re.findall("[0-9]+", re.split("[/#]", term)[0]):
            if not low <= int(number) <= high:
                return f"{name} {short_repr(int(number))} is not in {low}–{high}"
        unknown = [word for word in re.findall("[A-Z]+", term) if word not in words]
        hint = suggest_nearest(unknown[0], words) if unknown else ""
        return (
            f"{name} {short_repr(term)} is not {low}–{high}{also}, a rising range or a step{hint}"
        )
    return None
