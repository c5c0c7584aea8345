"""The days of a recurrence rule: the BY parts that look at a date alone."""

from dataclasses import dataclass
from datetime import date, timedelta

from cron_tasks.schedules._clock import DAY
from cron_tasks.schedules._rrule_text import FREQUENCIES, Rule


@dataclass(frozen=True, slots=True)
class Days:
    """The BY parts that choose days; an empty one lets every day pass."""

    rule: Rule
    weekdays: tuple[tuple[int, int], ...]
    month_days: tuple[int, ...]

    def __call__(self, day: date) -> bool:
        numbers = self.rule.numbers
        if self.month_days and not _among(day.day, _month_length(day), self.month_days):
            return False
        if (days := numbers.get("BYYEARDAY")) and not _among(*_year_day(day), days):
            return False
        if (weeks := numbers.get("BYWEEKNO")) and not _among(*self._week(day), weeks):
            return False
        return not self.weekdays or any(self._is(day, nth, name) for nth, name in self.weekdays)

    def _is(self, day: date, nth: int, weekday: int) -> bool:
        if day.weekday() != weekday or not nth:
            return day.weekday() == weekday
        if self.rule.frequency == FREQUENCIES.index("MONTHLY") or "BYMONTH" in self.rule.numbers:
            number, length = day.day, _month_length(day)
        else:
            number, length = _year_day(day)
        return nth == (number + 6) // 7 if nth > 0 else -nth == (length - number) // 7 + 1

    def _week(self, day: date) -> tuple[int, int]:
        """The week's number and how many its year has: week 1 is the first with four days in it."""
        start = day - timedelta((day.weekday() - self.rule.week_start) % 7)
        middle = start + 3 * DAY
        last = date(middle.year, 12, 28)
        last_start = last - timedelta((last.weekday() - self.rule.week_start) % 7)
        number = (_year_day(middle)[0] + 6) // 7
        return number, number + (last_start - start).days // 7


def _among(number: int, length: int, wanted: tuple[int, ...]) -> bool:
    return number in wanted or number - length - 1 in wanted


def _month_length(day: date) -> int:
    return ((day.replace(day=28) + 4 * DAY).replace(day=1) - DAY).day


def _year_day(day: date) -> tuple[int, int]:
    first = date(day.year, 1, 1).toordinal()
    return day.toordinal() - first + 1, date(day.year, 12, 31).toordinal() - first + 1
