"""Reading the text of an RFC 5545 recurrence rule.

Strict where the RFC is, so that a rule means the same here as in the calendar that wrote it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cron_tasks.schedules._words import Fault, Faults, quoted, suggestion

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MOST_COUNTED = 10_000

_NUMBERS = {  # part: lowest and highest, and whether negative ones count from the end
    "BYSECOND": (0, 59, False),  # 60, the leap second, exists in no clock we run on
    "BYMINUTE": (0, 59, False),
    "BYHOUR": (0, 23, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYMONTH": (1, 12, False),
    "BYSETPOS": (1, 366, True),
}
_BY_PARTS = {"BYDAY", *_NUMBERS}
_FORBIDDEN = {  # RFC 5545 3.3.10
    "BYWEEKNO": FREQUENCIES[1:],
    "BYYEARDAY": ("MONTHLY", "WEEKLY", "DAILY"),
    "BYMONTHDAY": ("WEEKLY",),
}
_PROPERTIES = {
    "EXDATE": "name these days in `exclude`",
    "RDATE": "make it a job of its own with `run_at`",
    "EXRULE": "name these days in `exclude`",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as written: `numbers` by part, `weekdays` as (ordinal or 0, 0 for Monday)."""

    text: str
    start: datetime | None
    zone: str | None
    frequency: int
    interval: int
    count: int | None
    until: datetime | None
    week_start: int
    weekdays: tuple[tuple[int, int], ...]
    numbers: Mapping[str, tuple[int, ...]]


@lru_cache(maxsize=1024)
def read(text: str) -> Rule:
    """`RRULE:FREQ=…` with or without the name, and a DTSTART line. Raises Fault with all faults."""
    if len(text) > 2000:
        raise Fault("is longer than 2,000 characters")
    start, zone, rules = None, None, []
    for line in re.sub(r"\r?\n[ \t]", "", text).split():
        name, colon, value = line.partition(":")
        word = name.partition(";")[0].upper()
        if word == "DTSTART":
            start, zone = _start(name, value)
        elif word in _PROPERTIES:
            raise Fault(f"{word} is not supported; {_PROPERTIES[word]}")
        else:
            rules.append(value if colon and word == "RRULE" else line)
    if len(rules) != 1:
        raise Fault(f"has {len(rules)} rules; expected one, such as FREQ=DAILY;INTERVAL=2")
    return _rule(rules[0].upper().rstrip(";"), start, zone)


def _start(name: str, value: str) -> tuple[datetime, str | None]:
    zone = None
    for parameter in name.split(";")[1:]:
        key, _, setting = parameter.partition("=")
        if key.upper() == "TZID":
            zone = setting
        elif parameter.upper() not in ("VALUE=DATE", "VALUE=DATE-TIME"):
            raise Fault(f"DTSTART has the unknown parameter {quoted(parameter)}")
    start = _time("DTSTART", value)
    if zone and start.tzinfo:
        raise Fault("DTSTART has both a TZID and an offset of its own")
    return start.replace(microsecond=0), zone


def _time(part: str, value: str) -> datetime:
    with suppress(ValueError):
        if re.fullmatch(r"[0-9TZ:.+-]+", value.upper()):
            return datetime.fromisoformat(value.upper())
    raise Fault(f"{part} {quoted(value)} is not a time such as 20260301T090000")


def _rule(text: str, start: datetime | None, zone: str | None) -> Rule:
    faults = Faults()
    values: dict[str, Any] = {}
    for pair in text.split(";"):
        name, _, value = pair.partition("=")
        if name not in _READERS:
            faults.append(("", f"unknown part {quoted(name)}{suggestion(name, _READERS)}"))
        elif name in values:
            faults.append((name, f"{name} is there twice"))
        else:
            values[name] = None
            with faults.at(name):
                values[name] = _READERS[name](name, value)
    if messages := [*faults.messages(), *_clashes(values)]:
        raise Fault(*messages)
    return Rule(
        text,
        start,
        zone,
        values["FREQ"],
        values.get("INTERVAL", 1),
        values.get("COUNT"),
        values.get("UNTIL"),
        values.get("WKST", 0),
        values.get("BYDAY", ()),
        {name: values[name] for name in _NUMBERS if name in values},
    )


def _clashes(values: Mapping[str, Any]) -> Iterator[str]:
    """Parts that RFC 5545 3.3.10 does not let stand together."""
    if "FREQ" not in values:
        yield "has no FREQ, such as FREQ=DAILY"
    elif (frequency := values["FREQ"]) is not None:
        word = FREQUENCIES[frequency]
        for part, words in _FORBIDDEN.items():
            if part in values and word in words:
                yield f"{part} does not go with FREQ={word}"
        if any(nth for nth, _ in values.get("BYDAY") or ()):
            if frequency > FREQUENCIES.index("MONTHLY"):
                yield f"BYDAY counts days in months and years only, not with FREQ={word}"
            elif "BYWEEKNO" in values:
                yield "BYDAY does not count days beside BYWEEKNO"
    if "COUNT" in values and "UNTIL" in values:
        yield "has both COUNT and UNTIL; only one of them can end it"
    if "BYSETPOS" in values and not (_BY_PARTS - {"BYSETPOS"}) & values.keys():
        yield "BYSETPOS picks from another BY part, and there is none"


def _frequency(name: str, text: str) -> int:
    if text not in FREQUENCIES:
        known = ", ".join(FREQUENCIES)
        raise Fault(f"{name} {quoted(text)} is not one of {known}{suggestion(text, FREQUENCIES)}")
    return FREQUENCIES.index(text)


def _natural(name: str, text: str) -> int:
    most = MOST_COUNTED if name == "COUNT" else 10**9
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= most:
        raise Fault(f"{name} {quoted(text)} is not a whole number from 1 to {most:,}")
    return int(text)


def _until(name: str, text: str) -> datetime:
    until = _time(name, text)
    return until if "T" in text else until + timedelta(days=1, seconds=-1)


def _weekday(name: str, text: str) -> int:
    if text not in WEEKDAYS:
        raise Fault(f"{name} {quoted(text)} is not one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(text)


def _weekdays(name: str, text: str) -> tuple[tuple[int, int], ...]:
    days = []
    for item in text.split(","):
        match = re.fullmatch(r"([+-]?[0-9]{1,2})?([A-Z]*)", item)
        if not match or (match[1] and not 1 <= abs(int(match[1])) <= 53):
            raise Fault(f"{name} {quoted(item)} is not a weekday such as MO or -1FR")
        days.append((int(match[1] or 0), _weekday(name, match[2])))
    return tuple(sorted(set(days)))


def _numbers(name: str, text: str) -> tuple[int, ...]:
    low, high, counts_back = _NUMBERS[name]
    numbers = set()
    for item in text.split(","):
        number = int(item) if re.fullmatch("[+-]?[0-9]{1,9}", item) else None
        if number is None or not low <= (abs(number) if counts_back else number) <= high:
            limits = f"{low}–{high}" + (f" or -{high}–-{low}" if counts_back else "")
            raise Fault(f"{name} {quoted(item)} is not in {limits}")
        numbers.add(number)
    return tuple(sorted(numbers))


_READERS: dict[str, Callable[[str, str], Any]] = {
    "FREQ": _frequency,
    "INTERVAL": _natural,
    "COUNT": _natural,
    "UNTIL": _until,
    "WKST": _weekday,
    "BYDAY": _weekdays,
    **dict.fromkeys(_NUMBERS, _numbers),
}
