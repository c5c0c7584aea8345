"""Read the text of an RFC 5545 recurrence rule.

The reader is as strict as the RFC, and stricter than dateutil, which reads BYMONTH=13 as a rule
that never fires. A rule has to mean the same here as in the calendar that wrote it.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from cron_tasks.schedules.faults import Fault, Faults
from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import suggest_nearest

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY = range(len(FREQUENCIES))
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_RANGES = {
    "INTERVAL": (1, 999_999_999),
    "COUNT": (1, 10_000),
    "BYSECOND": (0, 59),  # 60, the leap second, does not exist on our clocks
    "BYMINUTE": (0, 59),
    "BYHOUR": (0, 23),
    "BYMONTHDAY": (1, 31),
    "BYYEARDAY": (1, 366),
    "BYWEEKNO": (1, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (1, 366),
}
_PARTS = ("FREQ", "UNTIL", "WKST", "BYDAY", *_RANGES)
_FROM_THE_END = {"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"}
#: FREQ is an index of FREQUENCIES, WKST a weekday (0 for Monday), UNTIL a time, and BYDAY a tuple
#: of (ordinal or 0, weekday). COUNT and INTERVAL are numbers, and the others tuples of numbers.
Parts = Mapping[str, Any]


def read_rule(text: str) -> tuple[str, datetime | None, Parts]:
    """Return the rule alone, DTSTART or None, and the parts of the rule.

    The prefix `RRULE:` is optional. Raises Fault, with all faults.
    """
    start, rules = None, []
    for line in re.sub(r"\r?\n[ \t]", "", text).upper().split():
        name, _, value = line.partition(":")
        if re.fullmatch(r"DTSTART(;TZID=\S+|;VALUE=DATE(-TIME)?)*", name):
            start = _read_time("DTSTART", value)
        elif value and name != "RRULE":
            raise Fault(f"{short_repr(name)} is not supported, only RRULE and DTSTART")
        else:
            rules.append((value or name).rstrip(";"))
    if len(rules) != 1:
        raise Fault(f"has {len(rules)} rules; expected one, such as FREQ=DAILY;INTERVAL=2")
    return rules[0], start, _read_parts(rules[0])


def _read_parts(text: str) -> dict[str, Any]:
    faults = Faults()
    parts: dict[str, Any] = {}
    for pair in text.split(";"):
        name, _, value = pair.partition("=")
        with faults.at(name):
            if name not in _PARTS:
                raise Fault(f"unknown part {short_repr(name)}{suggest_nearest(name, _PARTS)}")
            if name in parts:
                raise Fault(f"has {name} twice")
            parts[name] = _read_part(name, value)
    if messages := [message for _, message in faults] or list(_find_clashes(parts)):
        raise Fault(*messages)
    return parts


def _read_part(name: str, value: str) -> Any:
    if name == "FREQ":
        return _read_choice(name, value, FREQUENCIES)
    if name == "WKST":
        return _read_choice(name, value, _WEEKDAYS)
    if name == "BYDAY":
        return tuple(sorted(set(map(_read_weekday, value.split(",")))))
    if name == "UNTIL":
        until = _read_time(name, value)
        return until if "T" in value else until + timedelta(days=1, seconds=-1)
    if name in ("COUNT", "INTERVAL"):
        return _read_number(name, value)
    return tuple(sorted({_read_number(name, item) for item in value.split(",")}))


def _read_choice(name: str, value: str, known: tuple[str, ...]) -> int:
    if value not in known:
        hint = suggest_nearest(value, known)
        raise Fault(f"{name} {short_repr(value)} is not one of {', '.join(known)}{hint}")
    return known.index(value)


def _read_weekday(item: str) -> tuple[int, int]:
    match = re.fullmatch(r"([+-]?[0-9]{1,2})?([A-Z]*)", item)
    if not match or (match[1] and not 1 <= abs(int(match[1])) <= 53):
        raise Fault(f"BYDAY {short_repr(item)} is not a weekday such as MO or -1FR")
    return int(match[1] or 0), _read_choice("BYDAY", match[2], _WEEKDAYS)


def _read_number(name: str, item: str) -> int:
    low, high = _RANGES[name]
    number = int(item) if re.fullmatch("[+-]?[0-9]{1,9}", item) else -1
    if not low <= (abs(number) if name in _FROM_THE_END else number) <= high:
        raise Fault(f"{name} {short_repr(item)} is not in {low}–{high}")
    return number


def _read_time(name: str, value: str) -> datetime:
    try:
        return datetime.fromisoformat(value).replace(microsecond=0)
    except ValueError:
        raise Fault(f"{name} {short_repr(value)} is not a time such as 20260301T090000") from None


def _find_clashes(parts: Parts) -> Iterator[str]:
    """Yield what is wrong with the parts together (RFC 5545, section 3.3.10)."""
    if "FREQ" not in parts:
        yield "has no FREQ, such as FREQ=DAILY"
    elif any(nth for nth, _ in parts.get("BYDAY", ())) and (
        parts["FREQ"] not in (YEARLY, MONTHLY) or "BYWEEKNO" in parts
    ):
        yield "BYDAY counts days in months and years only"
    if "COUNT" in parts and "UNTIL" in parts:
        yield "has both COUNT and UNTIL; only one of them can end it"
