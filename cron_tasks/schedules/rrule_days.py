"""The days that a recurrence rule chooses: one integer a year, with bit 0 for 1 January.

A few operations on integers examine a whole year, so neither an old DTSTART nor a rare date makes
a search slow. Days are proleptic ordinals, as in `date.toordinal`.
"""

from calendar import isleap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import MAXYEAR, date
from functools import lru_cache, reduce
from itertools import accumulate, pairwise
from operator import or_
from typing import NamedTuple

from cron_tasks.schedules.budget import Budget
from cron_tasks.schedules.rrule_text import DAILY, MONTHLY, WEEKLY, YEARLY, Parts

#: A search gives up after this many years without a match. The rarest date that people mean,
#: 29 February on a given weekday, takes up to 40, and the calendar repeats after 400.
_MAX_YEARS = 400
_LAST = date.max.toordinal()
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _block(start: int, size: int) -> int:
    """Return `size` bits from bit `start` on, without those below 0."""
    bits = (1 << size) - 1
    return bits << start if start >= 0 else bits >> -start


@lru_cache(maxsize=2)
def _months(leap: bool) -> tuple[tuple[int, int], ...]:
    """Return the first day (from 0) and the length of each month of a year."""
    lengths = [length + (leap and month == 1) for month, length in enumerate(_LENGTHS)]
    return tuple(zip(accumulate(lengths, initial=0), lengths, strict=False))


def _union(masks: Iterable[int]) -> int:
    return reduce(or_, masks, 0)


def _list_set_bits(mask: int) -> list[int]:
    """Return the numbers of the bits that are set, in order."""
    return [at for at, bit in enumerate(reversed(f"{mask:b}")) if bit == "1"]


@dataclass(frozen=True, slots=True)
class Days:
    """The days that the BY parts of a rule choose, in each INTERVAL-th period from `start` on.

    Missing BY parts allow every day. Periods shorter than a day are ignored.
    """

    parts: Parts
    months: tuple[int, ...]
    month_days: tuple[int, ...]
    weekdays: tuple[tuple[int, int], ...]
    start: date
    _masks: dict[tuple[int, bool, bool, bool], int] = field(default_factory=dict, compare=False)

    def mask_of(self, year: int, budget: Budget) -> int:
        """Return the mask of a year from 1 to 9999. Raises TooMuchWork."""
        key = (date(year, 1, 1).weekday(), isleap(year - 1), isleap(year), isleap(year + 1))
        if (mask := self._masks.get(key)) is None:
            chosen = self._choose()
            budget.spend(chosen.cost)
            mask = self._masks[key] = _mask_year(chosen, *key)
        interval = self.parts.get("INTERVAL", 1)
        return mask if interval == 1 else mask & self._interval_mask(year, interval)

    def _choose(self) -> "_Chosen":
        parts = self.parts
        return _Chosen(
            self.months,
            self.month_days,
            parts.get("BYYEARDAY", ()),
            parts.get("BYWEEKNO", ()),
            parts.get("WKST", 0),
            self.weekdays,
            monthly=parts["FREQ"] == MONTHLY or "BYMONTH" in parts,
        )

    def _interval_mask(self, year: int, interval: int) -> int:
        """Return the days of a year that lie in each INTERVAL-th period."""
        frequency, start = self.parts["FREQ"], self.start
        if frequency == YEARLY:
            return 0 if (year - start.year) % interval else _block(0, 366)
        if frequency == MONTHLY:
            late = (year - start.year) * 12 + 1 - start.month
            spans = enumerate(_months(isleap(year)))
            return sum(_block(*span) for month, span in spans if not (late + month) % interval)
        if frequency not in (WEEKLY, DAILY):
            return _block(0, 366)
        size = 7 if frequency == WEEKLY else 1
        late = date(year, 1, 1).toordinal() - self.period_of(start.toordinal())[0]
        return _mask_cycles(interval * size, size, late % (interval * size))

    def period_of(self, day: int) -> tuple[int, int]:
        """Return the first day of the period that contains `day`, and of the next period."""
        frequency, when = self.parts["FREQ"], date.fromordinal(day)
        if frequency == YEARLY:
            first = day - when.timetuple().tm_yday + 1
            return first, first + 365 + isleap(when.year)
        if frequency == MONTHLY:
            first = day - when.day + 1
            return first, first + _months(isleap(when.year))[when.month - 1][1]
        if frequency == WEEKLY:
            first = day - (when.weekday() - self.parts.get("WKST", 0)) % 7
            return first, first + 7
        return day, day + 1

    def days_between(self, first: int, end: int, budget: Budget) -> list[int]:
        """Return the days with first <= day < end."""
        masks = self._masks_between(first, end, budget)
        return [base + at for base, mask in masks for at in _list_set_bits(mask)]

    def count_between(self, first: int, end: int, budget: Budget) -> int:
        """Return how many days there are with first <= day < end."""
        return sum(mask.bit_count() for _, mask in self._masks_between(first, end, budget))

    def _masks_between(self, first: int, end: int, budget: Budget) -> Iterator[tuple[int, int]]:
        """Yield the first day of each year, and the mask of its days with first <= day < end."""
        last = min(end - 1, _LAST)
        for year in range(date.fromordinal(first).year, date.fromordinal(last).year + 1):
            base = date(year, 1, 1).toordinal()
            yield base, self.mask_of(year, budget) & _block(first - base, end - first)

    def first_from(self, day: int, budget: Budget) -> int | None:
        """Return the first day at or after `day`, or None if there is none within _MAX_YEARS."""
        return self.nth_from(day, 0, budget, _MAX_YEARS)

    def last_until(self, day: int, budget: Budget) -> int | None:
        """Return the last day at or before `day`, or None if there is none within _MAX_YEARS."""
        if day < 1:
            return None
        newest = date.fromordinal(min(day, _LAST)).year
        for year in range(newest, max(newest - _MAX_YEARS, 0), -1):
            budget.spend()
            base = date(year, 1, 1).toordinal()
            if found := self.mask_of(year, budget) & _block(0, max(day - base + 1, 0)):
                return base + found.bit_length() - 1
        return None

    def nth_from(self, day: int, count: int, budget: Budget, years: int = MAXYEAR) -> int | None:
        """Return the day that comes after `count` others at or after `day`.

        Return None if there is none within `years`.
        """
        if day > _LAST:
            return None
        oldest = date.fromordinal(day).year
        for year in range(oldest, min(oldest + years, MAXYEAR + 1)):
            budget.spend()
            base = date(year, 1, 1).toordinal()
            found = self.mask_of(year, budget)
            if day > base:
                found = found >> (day - base) << (day - base)
            if count < (size := found.bit_count()):
                lowest = (found & -found).bit_length() - 1
                return base + (_list_set_bits(found)[count] if count else lowest)
            count -= size
        return None


class _Chosen(NamedTuple):
    """The parts that choose days. `monthly` counts numbered weekdays in months, not in years."""

    months: tuple[int, ...]
    month_days: tuple[int, ...]
    year_days: tuple[int, ...]
    weeks: tuple[int, ...]
    wkst: int
    weekdays: tuple[tuple[int, int], ...]
    monthly: bool

    @property
    def cost(self) -> int:
        """Return the steps of the budget that the mask of a year takes."""
        months = len(self.months)
        weekdays = len(self.weekdays) * (months if self.monthly else 1)
        numbers = len(self.month_days) * months + len(self.year_days) + 3 * len(self.weeks)
        return 20 + (weekdays + numbers) // 2


@lru_cache(maxsize=4096)
def _mask_year(chosen: _Chosen, first: int, before: bool, leap: bool, after: bool) -> int:
    """Return the mask of a year whose first weekday is `first`. Many rules share it.

    `before`, `leap` and `after` show whether the previous, this and the next year are leap years.
    Weeks at both ends of a year may belong to its neighbours.
    """
    length = 365 + leap
    months = [_months(leap)[month - 1] for month in chosen.months]
    mask = sum(_block(*month) for month in months)
    if chosen.month_days:
        mask &= _union(_mask_numbers(start, size, chosen.month_days) for start, size in months)
    if chosen.year_days:
        mask &= _mask_numbers(0, length, chosen.year_days)
    if chosen.weeks:
        lengths = 365 + before, length, 365 + after
        mask &= _mask_weeks(first, lengths, chosen.wkst, chosen.weeks)
    if chosen.weekdays:
        mask &= _union(
            _mask_weekdays(start, size, nth, (weekday - first - start) % 7)
            for start, size in (months if chosen.monthly else [(0, length)])
            for nth, weekday in chosen.weekdays
        )
    return mask


def _mask_numbers(start: int, size: int, numbers: Iterable[int]) -> int:
    """Return the days with these numbers, counted from either end of a span of `size` days."""
    places = (number - 1 if number > 0 else size + number for number in numbers)
    return _union(1 << start + place for place in places if 0 <= place < size)


def _mask_weekdays(start: int, size: int, nth: int, offset: int) -> int:
    """Return the nth of the weekdays that first occur at `offset` of a span, or all for 0."""
    count = (size - offset + 6) // 7
    if not nth:
        return _union(1 << start + offset + 7 * at for at in range(count))
    at = nth - 1 if nth > 0 else count + nth
    return 1 << start + offset + 7 * at if 0 <= at < count else 0


def _mask_weeks(
    first: int, lengths: tuple[int, int, int], wkst: int, numbers: Iterable[int]
) -> int:
    """Return the days in the numbered weeks of the previous, this and the next year.

    A week belongs to the year that contains its fourth day (ISO 8601; RFC 5545, section 3.3.10).
    """
    new_years = list(accumulate(lengths, initial=-lengths[0]))
    starts = [day + 3 - (first + day + 3 - wkst) % 7 for day in new_years]
    return _union(
        _block(start + 7 * (number - 1 if number > 0 else count + number), 7)
        for start, end in pairwise(starts)
        for number in numbers
        if abs(number) <= (count := (end - start) // 7)
    )


@lru_cache(maxsize=256)
def _mask_cycles(cycle: int, size: int, late: int) -> int:
    """Return the first `size` bits of each cycle in a year that begins `late` days into one."""
    return _union(_block(at, size) for at in range(-late, 366, cycle))
