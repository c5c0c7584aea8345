"""Search the wall times of a recurrence rule from any time, and count them from the first.

Internally a wall time is a number of seconds: 86,400 times its ordinal day, plus its time of day.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cron_tasks.schedules.budget import Budget
from cron_tasks.schedules.durations import DAY, HOUR, MINUTE
from cron_tasks.schedules.rrule_days import Days
from cron_tasks.schedules.rrule_times import TimesOfDay, chosen_indices

#: Steps of the budget for a candidate that INTERVAL leaves out, for a period whose occurrences are
#: counted, and for a period from which BYSETPOS chooses.
_CANDIDATE_COST, _COUNT_COST, _CHOICE_COST = 3, 5, 10
END = datetime.max.toordinal() * DAY + DAY - 1
#: A search gives up after this many periods from which BYSETPOS chooses nothing.
_MAX_PERIODS = 700


@dataclass(frozen=True, slots=True)
class Occurrences:
    """The wall times of a rule, from `first` to `last`.

    `interval` is 1 if `days` and `times` already take account of INTERVAL. `positions` is empty if
    `times` takes account of BYSETPOS.
    """

    days: Days
    times: TimesOfDay
    positions: tuple[int, ...]
    interval: int
    unit: int
    first: int
    last: int

    def at_or_after(self, wall: datetime, budget: Budget) -> datetime | None:
        start = max(to_seconds(wall), self.first)
        found = self._find_after(start, budget) if start <= self.last else None
        return None if found is None or found > self.last else from_seconds(found)

    def at_or_before(self, wall: datetime, budget: Budget) -> datetime | None:
        end = min(to_seconds(wall), self.last)
        found = self._find_before(end, budget) if end >= self.first else None
        return None if found is None or found < self.first else from_seconds(found)

    def nth(self, count: int, budget: Budget) -> int | None:
        """Return the count-th occurrence from `first` on.

        Return None if the calendar ends before it. Raises TooMuchWork.
        """
        if self.positions:
            return self._nth_chosen(count, budget)
        if self.interval == 1:
            day, second = divmod(self.first, DAY)
            if self.days.first_from(day, budget) == day:
                count += self.times.count_before(second)
            days, at = divmod(count - 1, max(len(self.times), 1))
            found = self.days.nth_from(day, days, budget) if len(self.times) else None
            return None if found is None else found * DAY + self.times[at]
        if not any(part.startswith("BY") for part in self.days.parts):
            return self.first + (count - 1) * self.interval * self.unit
        found = self._find_after(self.first, budget)
        for _ in range(count - 1):
            budget.spend()
            found = found and self._find_after(found + 1, budget)
        return found

    def _find_after(self, wall: int, budget: Budget) -> int | None:
        if self.positions:
            return self._find_chosen_after(wall, budget)
        while (found := self._find_plain_after(wall, budget)) is not None:
            number = found // self.unit
            late = (number - self.first // self.unit) % self.interval
            if not late:
                return found
            budget.spend(_CANDIDATE_COST)
            wall = (number - late + self.interval) * self.unit
        return None

    def _find_before(self, wall: int, budget: Budget) -> int | None:
        if self.positions:
            return self._find_chosen_before(wall, budget)
        while (found := self._find_plain_before(wall, budget)) is not None:
            number = found // self.unit
            late = (number - self.first // self.unit) % self.interval
            if not late or found < self.first:
                return found
            budget.spend(_CANDIDATE_COST)
            wall = (number - late + 1) * self.unit - 1
        return None

    def _find_plain_after(self, wall: int, budget: Budget) -> int | None:
        """Return the first chosen time of a chosen day at or after `wall`, without INTERVAL."""
        if not len(self.times) or wall > END:
            return None
        today, second = divmod(wall, DAY)
        at = self.times.count_before(second)
        day = self.days.first_from(today + (at == len(self.times)), budget)
        return None if day is None else day * DAY + self.times[at if day == today else 0]

    def _find_plain_before(self, wall: int, budget: Budget) -> int | None:
        if not len(self.times) or wall < DAY:
            return None
        today, second = divmod(wall, DAY)
        at = self.times.count_before(second + 1) - 1
        day = self.days.last_until(today - (at < 0), budget)
        return None if day is None else day * DAY + self.times[at if day == today else -1]

    def _choose_times(self, day: int, budget: Budget) -> tuple[int, int, list[int]]:
        """Return the start and end of the period of `day`, and its times that BYSETPOS chooses."""
        start, end = self.days.period_of(day)
        days, size = self.days.days_between(start, end, budget), len(self.times)
        budget.spend(_CHOICE_COST + len(days) // 8)
        at = chosen_indices(self.positions, len(days) * size)
        return (
            start,
            end,
            [days[each // size] * DAY + self.times[each % size] for each in at],
        )

    def _find_chosen_after(self, wall: int, budget: Budget) -> int | None:
        start = self.days.period_of(wall // DAY)[0]
        for _ in range(_MAX_PERIODS):
            if not (day := self.days.first_from(start, budget)):
                return None
            _, start, found = self._choose_times(day, budget)
            if chosen := next((each for each in found if each >= wall), None):
                return chosen
        return None

    def _find_chosen_before(self, wall: int, budget: Budget) -> int | None:
        end = self.days.period_of(wall // DAY)[1]
        for _ in range(_MAX_PERIODS):
            day = self.days.last_until(end - 1, budget)
            if not day or end * DAY <= self.first:
                return None
            end, _, found = self._choose_times(day, budget)
            if chosen := next((each for each in reversed(found) if each <= wall), None):
                return chosen
        return None

    def _nth_chosen(self, count: int, budget: Budget) -> int | None:
        sizes: dict[int, int] = {}
        start = self.days.period_of(self.first // DAY)[0]
        while day := self.days.first_from(start, budget):
            begin, start = self.days.period_of(day)
            budget.spend(_COUNT_COST)
            size = self.days.count_between(begin, start, budget) * len(self.times)
            if size not in sizes:
                sizes[size] = len(chosen_indices(self.positions, size))
            if count <= sizes[size] or begin * DAY <= self.first:
                found = [each for each in self._choose_times(day, budget)[2] if each >= self.first]
                if count <= len(found):
                    return found[count - 1]
                count -= len(found)
            else:
                count -= sizes[size]
        return None


def to_seconds(wall: datetime) -> int:
    return wall.toordinal() * DAY + wall.hour * HOUR + wall.minute * MINUTE + wall.second


def from_seconds(seconds: int) -> datetime:
    return datetime.fromordinal(seconds // DAY) + timedelta(seconds=seconds % DAY)
