"""Recurrence rules in English, for people who do not read RFC 5545."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice, product

from cron_tasks.schedules._rrule_text import FREQUENCIES, Rule
from cron_tasks.schedules._words import MONTHS, listed, ordinal

_UNITS = ("year", "month", "week", "day", "hour", "minute", "second")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOURLY = FREQUENCIES.index("HOURLY")


def explain(rule: Rule, start: datetime) -> str:
    """`Every 2 weeks on Monday and Friday at 09:00, 10 times, starting 2026-03-02 09:00`"""
    unit = _UNITS[rule.frequency]
    every = f"Every {unit}" if rule.interval == 1 else f"Every {rule.interval} {unit}s"
    text = " ".join(filter(None, [every, *_dates(rule, start), _times(rule, start)]))
    if positions := rule.numbers.get("BYSETPOS"):
        text += f", of these only the {_ordinals(positions)} of each {unit}"
    if rule.count:
        text += f", {rule.count:,} time{'s' * (rule.count != 1)}"
    if rule.until:
        text += f", until {rule.until:%Y-%m-%d %H:%M}{' UTC' * bool(rule.until.tzinfo)}"
    return f"{text}, starting {start.isoformat(' ', 'auto' if start.second else 'minutes')}"


def _dates(rule: Rule, start: datetime) -> list[str]:
    numbers, parts = rule.numbers, []
    if months := numbers.get("BYMONTH"):
        parts.append(f"in {listed([MONTHS[month - 1] for month in months])}")
    if weeks := numbers.get("BYWEEKNO"):
        parts.append(f"in the {_ordinals(weeks)} week of the year")
    if days := numbers.get("BYYEARDAY"):
        parts.append(f"on the {_ordinals(days)} day of the year")
    if days := numbers.get("BYMONTHDAY"):
        parts.append(f"on the {_ordinals(days)} day of the month")
    if rule.weekdays:
        parts.append(f"on {listed([_weekday(nth, day) for nth, day in rule.weekdays])}")
    if not numbers.keys() & {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY"} and not rule.weekdays:
        if rule.frequency == FREQUENCIES.index("WEEKLY"):
            parts.append(f"on {_DAYS[start.weekday()]}")
        elif rule.frequency < FREQUENCIES.index("WEEKLY"):
            month = f" of {MONTHS[start.month - 1]}" * (rule.frequency == 0 and not months)
            parts.append(f"on the {ordinal(start.day)}{month or ' day of the month'}")
    return parts


def _weekday(nth: int, day: int) -> str:
    return f"the {ordinal(nth)} {_DAYS[day]}" if nth else _DAYS[day]


def _times(rule: Rule, start: datetime) -> str:
    def given(part: str, of_start: int, unit: str) -> Sequence[int]:
        below = rule.frequency < FREQUENCIES.index(unit)
        return rule.numbers.get(part) or ([of_start] if below else [])

    hours = given("BYHOUR", start.hour, "HOURLY")
    minutes = given("BYMINUTE", start.minute, "MINUTELY")
    seconds = given("BYSECOND", start.second, "SECONDLY")
    clocks = list(islice(product(hours, minutes, seconds), 7))
    if 1 <= len(clocks) <= 6:
        exact = any(second for _, _, second in clocks)
        return f"at {listed([_clock(clock, exact) for clock in clocks])}"
    named = [("hour", hours), ("minute", minutes), ("second", seconds if any(seconds) else [])]
    return " ".join(
        f"at {unit}{'s' * (len(numbers) > 1)} {listed([str(number) for number in numbers])}"
        for unit, numbers in named
        if numbers
    )


def _clock(clock: tuple[int, int, int], exact: bool) -> str:
    return ":".join(f"{number:02}" for number in clock[: 3 if exact else 2])


def _ordinals(numbers: Sequence[int]) -> str:
    return listed([ordinal(number) for number in numbers])
