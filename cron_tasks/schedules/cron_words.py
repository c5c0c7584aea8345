"""Describe a cron expression in English, with cronsim's words where they are right."""

import re

from cronsim.cronsim import Field
from cronsim.explain import Expression

_ALL_DAYS = set(range(1, 32))
_ALL_WEEKDAYS = set(range(7))


def describe_expression(expression: str) -> str:
    """Describe an expression of five or six fields: `At 09:00 on the 13th day of …`.

    Three things differ from cronsim. If either kind of day matches, they are joined by "or", a
    field that allows every day is left out, and weekdays with a step are listed.
    """
    *times, day, month, weekday = expression.split()
    both = day.startswith("*") or weekday.startswith("*")
    all_days, all_weekdays = (
        _parse_days(day) >= _ALL_DAYS,
        _parse_weekdays(weekday) >= _ALL_WEEKDAYS,
    )
    if not both and (all_days or all_weekdays):
        day = weekday = "*"
    day = "*" if all_days else day
    weekday = "*" if all_weekdays else ",".join(map(_list_weekdays, weekday.split(",")))
    words = _Words([*times, day, month, weekday])
    words.day_and = both  # a list of weekdays would lose the star of `*/2`
    return re.sub(r"\b([2-5])([123])th\b", _fix_ordinal, words.explain())


def _parse_days(text: str) -> set[object]:
    return set(Field.DAY.parse(text))


def _parse_weekdays(text: str) -> set[object]:
    return {number % 7 if isinstance(number, int) else number for number in Field.DOW.parse(text)}


def _list_weekdays(term: str) -> str:
    """Return the list of the days of a weekday term with a step. Return other terms as they are."""
    if "/" not in term:
        return term
    return ",".join(map(str, sorted({int(str(number)) for number in _parse_weekdays(term)})))


def _fix_ordinal(match: re.Match[str]) -> str:
    """Return `21st` for `21th`."""
    tens, ones = match.groups()
    return f"{tens}{ones}{('st', 'nd', 'rd')[int(ones) - 1]}"


class _Words(Expression):
    """Describe like cronsim, but join the two kinds of days by "or" if either matches."""

    def translate_date(self, allow_every_day: bool) -> str:
        text = super().translate_date(allow_every_day)
        return text.replace(f"{self.day} and {self.dow}", f"{self.day} or {self.dow}", 1)
