"""Normalize the text of a cron expression, and explain its faults.

cronsim parses the grammar. This module handles terms that cronsim accepts but no person means, and
the spellings of Quartz. It has a sentence for each fault that cronsim rejects.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from cronsim import CronSim, CronSimError
from cronsim.cronsim import SYMBOLIC_DAYS, SYMBOLIC_MONTHS, Field

from cron_tasks.schedules.cron_foreign import explain_amazon, suggest_syntax
from cron_tasks.schedules.faults import Fault
from cron_tasks.text.display import short_repr
from cron_tasks.text.english import number_of
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
#: Nicknames of other systems, and what to write instead.
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
    """The grammar of a field: its lowest and highest number, its words, and its special characters.

    `last` is the number at the end of the field, since weekday 7 is Sunday again. `unit` is the
    unit of `every` that equals a step of the field. A month has none.
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
#: A person who writes a date that never comes may want a job for manual runs only.
_MANUAL_HINT = (
    "; a job that is only run by hand has `enabled: false` and any schedule, "
    "and `cron-tasks jobs run` runs it"
)
_UNITS = {"": "months", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def normalize_expression(expression: str, stored: bool) -> str:
    """Return five or six fields in their one spelling, with nicknames resolved. Raises Fault.

    A `stored` expression is not checked for odd terms.
    """
    parts = expression.split()
    if parts and parts[0].startswith("@"):
        nickname = parts[0].lower()
        if len(parts) > 1 or nickname not in _NICKNAMES:
            hint = _suggest_nickname(nickname)
            raise Fault(f"unknown nickname {short_repr(' '.join(parts))}{hint}")
        return _NICKNAMES[nickname]
    if amazon := explain_amazon(expression, _is_valid):
        raise Fault(amazon)
    if len(parts) not in (5, 6):
        count = number_of(len(parts), "field")
        expected = f"expected 5 ({_FIELDS}) or 6 (second first)"
        raise Fault(f"has {count}; {expected}{suggest_syntax(expression, _is_valid)}")
    if stored:
        return " ".join(parts).upper()
    fields = list(enumerate(" ".join(parts).upper().split(), 6 - len(parts)))
    normalized = [_normalize_field(*field) for field in fields]
    if None in normalized:
        terms = [(at, term) for at, text in fields for term in text.split(",") if text != "?"]
        terms += [(at, text) for at, text in fields if text == "?" and at not in _DAY_FIELDS]
        faults = (_find_odd(*each) or _find_fault(*each) for each in sorted(terms))
        *others, last = filter(None, faults)
        raise Fault(*others, last + suggest_syntax(expression, _is_valid))
    return " ".join(filter(None, normalized))


def _is_valid(expression: str) -> bool:
    """Return whether an expression of five or six fields can be suggested: it fires, too."""
    try:
        next(CronSim(normalize_expression(expression, stored=False), datetime(2000, 1, 1)))
    except (Fault, CronSimError, StopIteration):
        return False
    return True


@lru_cache(maxsize=4096)
def _normalize_field(at: int, text: str) -> str | None:
    """Return a field in its one spelling, or None if it is odd."""
    if text == "?" and at in _DAY_FIELDS:
        return "*"
    terms = text.split(",")
    if any(_find_odd(at, term) for term in terms):
        return None
    terms = [_end_single_range(at, term) for term in terms]
    return ",".join(map(_end_on_saturday, terms) if _GRAMMAR[at].name == "weekday" else terms)


def _suggest_nickname(nickname: str) -> str:
    known = "@every" if re.fullmatch("@every[0-9].*", nickname) else nickname
    hint = f"; write {_FOREIGN[known]}" if known in _FOREIGN else ""
    return hint or suggest_nearest(nickname, _NICKNAMES)


def _find_odd(at: int, term: str) -> str | None:
    """Return the fault of a term that cronsim accepts or does not explain, or None."""
    if "?" in term:
        where = "stands alone in" if at in _DAY_FIELDS else "is only for"
        return (
            f"{_GRAMMAR[at].name} {short_repr(term)}: '?' {where} day-of-month or weekday; write *"
        )
    if ".." in term:
        instead = short_repr(term.replace("..", "-"))
        return f"{_GRAMMAR[at].name} {short_repr(term)}: a range has '-'; write {instead}"
    if re.match("LW?/", term):
        return f"{_GRAMMAR[at].name} {short_repr(term)}: a step follows *, a number or a range"
    step = _STEP.fullmatch(term)
    return _find_large_step(at, term, step) if step else None


def _end_single_range(at: int, term: str) -> str:
    """Return `5` for `5-5/1`, which cronsim would continue to the end of the field."""
    step = _STEP.fullmatch(term)
    if not step or not step[3]:
        return term
    first, last = (_parse_number(_GRAMMAR[at], step[group]) for group in (2, 3))
    return step[2] if first == last else term


def _find_large_step(at: int, term: str, step: re.Match[str]) -> str | None:
    """Return the fault of a step that is larger than its range, or None."""
    field = _GRAMMAR[at]
    low = _parse_number(field, step[2]) if step[2] else field.low
    high = _parse_number(field, step[3]) if step[3] else max(field.last, low or 0)
    if low is None or high is None or not field.low <= low <= high <= field.high:
        return None
    size = int(step[4]) if len(step[4]) < 10 else 10**9
    if size <= max(high - low, 1):
        return None
    fault = f"{field.name} {short_repr(term)}: the step is larger than the range {low}–{high}"
    if step[1] and size < 10**9:
        instead = _alternative_to_step(field.unit, size)
        fault += f"; for every {size} {_UNITS[field.unit]}, use {instead}"
    return fault


def _alternative_to_step(unit: str, size: int) -> str:
    return f"`every: {size}{unit}`" if unit else f"`rrule: FREQ=MONTHLY;INTERVAL={size}`"


def _parse_number(field: _Grammar, text: str) -> int | None:
    if text in field.words:
        return field.words.index(text) + (field.low if field.name == "month" else 0)
    return int(text) if text.isdecimal() and len(text) < 4 else None


def _end_on_saturday(term: str) -> str:
    """Make a weekday with a step end on Saturday, so that 1/2 is Monday, Wednesday and Friday.

    The number 7 is Sunday again, and cronsim would continue to it.
    """
    start, _, step = term.partition("/")
    field = _GRAMMAR[5]
    number = _parse_number(field, start)
    if not step or number is None or number > field.high:
        return term
    return f"{start}-{field.last}/{step}" if number < field.last else start


def explain_faults(parts: list[str]) -> list[str]:
    """Return the corrections that an expression needs if cronsim rejects it."""
    terms = [(at, term) for at, text in enumerate(parts) for term in text.split(",")]
    found = [fault for at, term in terms if (fault := _find_fault(at, term))]
    day, month, weekday = parts[3:]
    never = f"no date has day-of-month '{day}', month '{month}' and weekday '{weekday}'"
    return found or [f"{never}: the expression never fires{_MANUAL_HINT}"]


def _find_fault(at: int, term: str) -> str | None:
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
