"""The wall times of a recurrence rule: searched from any time, and counted from the first.

Inside, a wall time is a number of seconds: 86,400 times its ordinal day, and its time of day.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cron_tasks.schedules.budget import Work
from cron_tasks.schedules.rrule_days import Days
from cron_tasks.schedules.rrule_text import DAILY
from cron_tasks.schedules.rrule_times import UNITS, Clock, places

DAY_SECONDS = UNITS[DAILY]
#: Steps of budget: for a candidate that INTERVAL leaves out, for a period whose occurrences are
#: counted, and for one from which BYSETPOS chooses.
_CANDIDATE, _COUNTED, _CHOSEN = 3, 5, 10
END = datetime.max.toordinal() * DAY_SECONDS + DAY_SECONDS - 1
#: A search gives up after so many periods from which BYSETPOS chooses nothing.
_MOST_PERIODS = 700


@dataclass(frozen=True, slots=True)
class Occurrences:
    """The wall times of a rule, from `first` to `last`.

    Inside, a wall time is its number of seconds: 86,400 times its ordinal day and its time of day.
    `interval` is 1 where `days` and `times` already take account of INTERVAL, and `positions` is
    empty where `times` takes account of BYSETPOS.
    """

    days: Days
    times: Clock
    positions: tuple[int, ...]
    interval: int
    unit: int
    first: int
    last: int

    def at_or_after(self, wall: datetime, work: Work) -> datetime | None:
        start = max(to_seconds(wall), self.first)
        found = self._after(start, work) if start <= self.last else None
        return None if found is None or found > self.last else to_wall(found)

    def at_or_before(self, wall: datetime, work: Work) -> datetime | None:
        end = min(to_seconds(wall), self.last)
        found = self._before(end, work) if end >= self.first else None
        return None if found is None or found < self.first else to_wall(found)

    def nth(self, count: int, work: Work) -> int | None:
        """Return the count-th occurrence from `first` on; None if the calendar ends before it."""
        if self.positions:
            return self._nth_chosen(count, work)
        if self.interval == 1:
            day, second = divmod(self.first, DAY_SECONDS)
            if self.days.following(day, work) == day:
                count += self.times.before(second)
            days, at = divmod(count - 1, max(len(self.times), 1))
            found = self.days.skip(day, days, work) if len(self.times) else None
            return None if found is None else found * DAY_SECONDS + self.times[at]
        if not any(part.startswith("BY") for part in self.days.parts):
            return self.first + (count - 1) * self.interval * self.unit
        found = self._after(self.first, work)
        for _ in range(count - 1):
            work.spend()
            found = found and self._after(found + 1, work)
        return found

    def _after(self, wall: int, work: Work) -> int | None:
        if self.positions:
            return self._chosen_after(wall, work)
        while (found := self._plain_after(wall, work)) is not None:
            number = found // self.unit
            late = (number - self.first // self.unit) % self.interval
            if not late:
                return found
            work.spend(_CANDIDATE)
            wall = (number - late + self.interval) * self.unit
        return None

    def _before(self, wall: int, work: Work) -> int | None:
        if self.positions:
            return self._chosen_before(wall, work)
        while (found := self._plain_before(wall, work)) is not None:
            number = found // self.unit
            late = (number - self.first // self.unit) % self.interval
            if not late or found < self.first:
                return found
            work.spend(_CANDIDATE)
            wall = (number - late + 1) * self.unit - 1
        return None

    def _plain_after(self, wall: int, work: Work) -> int | None:
        """Return the first time at or after `wall` on a chosen day at a chosen time of day."""
        if not len(self.times) or wall > END:
            return None
        today, second = divmod(wall, DAY_SECONDS)
        at = self.times.before(second)
        day = self.days.following(today + (at == len(self.times)), work)
        return None if day is None else day * DAY_SECONDS + self.times[at if day == today else 0]

    def _plain_before(self, wall: int, work: Work) -> int | None:
        if not len(self.times) or wall < DAY_SECONDS:
            return None
        today, second = divmod(wall, DAY_SECONDS)
        at = self.times.before(second + 1) - 1
        day = self.days.preceding(today - (at < 0), work)
        return None if day is None else day * DAY_SECONDS + self.times[at if day == today else -1]

    def _chosen(self, day: int, work: Work) -> tuple[int, int, list[int]]:
        """Return the period that holds a day, and the times in it that BYSETPOS chooses."""
        start, end = self.days.period(day)
        days, size = self.days.within(start, end, work), len(self.times)
        work.spend(_CHOSEN + len(days) // 8)
        at = places(self.positions, len(days) * size)
        return (
            start,
            end,
            [days[each // size] * DAY_SECONDS + self.times[each % size] for each in at],
        )

    def _chosen_after(self, wall: int, work: Work) -> int | None:
        start = self.days.period(wall // DAY_SECONDS)[0]
        for _ in range(_MOST_PERIODS):
            if not (day := self.days.following(start, work)):
                return None
            _, start, found = self._chosen(day, work)
            if tick := next((each for each in found if each >= wall), None):
                return tick
        return None

    def _chosen_before(self, wall: int, work: Work) -> int | None:
        end = self.days.period(wall // DAY_SECONDS)[1]
        for _ in range(_MOST_PERIODS):
            day = self.days.preceding(end - 1, work)
            if not day or end * DAY_SECONDS <= self.first:
                return None
            end, _, found = self._chosen(day, work)
            if tick := next((each for each in reversed(found) if each <= wall), None):
                return tick
        return None

    def _nth_chosen(self, count: int, work: Work) -> int | None:
        sizes: dict[int, int] = {}
        start = self.days.period(self.first // DAY_SECONDS)[0]
        while day := self.days.following(start, work):
            begin, start = self.days.period(day)
            work.spend(_COUNTED)
            size = self.days.size(begin, start, work) * len(self.times)
            if size not in sizes:
                sizes[size] = len(places(self.positions, size))
            if count <= sizes[size] or begin * DAY_SECONDS <= self.first:
                found = [each for each in self._chosen(day, work)[2] if each >= self.first]
                if count <= len(found):
                    return found[count - 1]
                count -= len(found)
            else:
                count -= sizes[size]
        return None


def to_seconds(wall: datetime) -> int:
    return wall.toordinal() * DAY_SECONDS + wall.hour * 3_600 + wall.minute * 60 + wall.second


def to_wall(seconds: int) -> datetime:
    return datetime.fromordinal(seconds // DAY_SECONDS) + timedelta(seconds=seconds % DAY_SECONDS)
