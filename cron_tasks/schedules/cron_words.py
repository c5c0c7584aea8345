"""A cron expression in English: cronsim's words, where they say what the expression does."""

import re

from cronsim.cronsim import Field
from cronsim.explain import Expression

_ALL_DAYS = set(range(1, 32))
_ALL_WEEKDAYS = set(range(7))


def explain(expression: str) -> str:
    """Return an expression of five or six fields in words: `At 09:00 on the 13th day of …`.

    cronsim is mended in three places: days of which either counts are joined by "or", a field that
    lets every day pass is not named, and weekdays with a step are listed.
    """
    *times, day, month, weekday = expression.split()
    both = day.startswith("*") or weekday.startswith("*")
    all_days, all_weekdays = _days(day) >= _ALL_DAYS, _weekdays(weekday) >= _ALL_WEEKDAYS
    if not both and (all_days or all_weekdays):
        day = weekday = "*"
    day = "*" if all_days else day
    weekday = "*" if all_weekdays else ",".join(map(_listed, weekday.split(",")))
    words = _Words([*times, day, month, weekday])
    words.day_and = both  # a list of weekdays would lose the star of `*/2`
    return re.sub(r"\b([2-5])([123])th\b", _ordinal, words.explain())


def _days(text: str) -> set[object]:
    return set(Field.DAY.parse(text))


def _weekdays(text: str) -> set[object]:
    return {number % 7 if isinstance(number, int) else number for number in Field.DOW.parse(text)}


def _listed(term: str) -> str:
    """Return a weekday term with a step as the list of its days; any other as it is."""
    if "/" not in term:
        return term
    return ",".join(map(str, sorted({int(str(number)) for number in _weekdays(term)})))


def _ordinal(match: re.Match[str]) -> str:
    """Return `21st` for `21th`."""
    tens, ones = match.groups()
    return f"{tens}{ones}{('st', 'nd', 'rd')[int(ones) - 1]}"


class _Words(Expression):
    """cronsim's words, with "or" between days of which either counts."""

    def translate_date(self, allow_every_day: bool) -> str:
        text = super().translate_date(allow_every_day)
        return text.replace(f"{self.day} and {self.dow}", f"{self.day} or {self.dow}", 1)
