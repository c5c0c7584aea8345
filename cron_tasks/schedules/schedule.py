"""A schedule: a rule, the time in which it applies, what it excludes, and an offset of the job.

A `Series` is the part that jobs share. 10,000 jobs with one expression have one series, interned by
`parse`, and with it one memory of the last answer. Between two fire times every query has the same
answer, so the memory is a stretch of time and not a table of queries.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules.budget import Budget, TooMuchWork
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.exclusions import Exclusions
from cron_tasks.schedules.iso8601 import wall_text
from cron_tasks.schedules.quick import is_quick_rule
from cron_tasks.schedules.zones import FIRST, LAST, MICROSECOND, SECOND, to_utc, to_wall_time
from cron_tasks.text.english import join_words

#: A search gives up after this many excluded fire times in a row, and later if there are many
#: stretches. Quiet hours that exclude one fire time a day are thus searched for more than a year.
_MAX_SKIPPED = 400
#: Steps of the budget for an excluded fire time.
_SKIP_COST = 20
#: The most that jitter may shift a fire time, in seconds.
MAX_JITTER = 31 * DAY
#: A fire time later than this does not limit the offset of a job.
_FAR = timedelta(seconds=MAX_JITTER) + SECOND
#: The fire times whose jitter limit a series remembers: the one that is due, and a few around it.
_LIMITS_KEPT = 8

T = TypeVar("T")


class Rule(Protocol):
    """A rule without its window and exclusions.

    `find_after` returns the first fire time later than `when`, `find_latest` the last one at or
    before `when`. Both may raise OverflowError for "none within reach", and TooMuchWork.
    """

    @property
    def spec_key(self) -> str: ...
    @property
    def spec_value(self) -> Any: ...
    def find_after(self, when: datetime, budget: Budget) -> datetime | None: ...
    def find_latest(self, when: datetime, budget: Budget) -> datetime | None: ...
    def describe(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Series:
    """The fire times of `rule` from `start` to before `end` without the excluded ones.

    `spec` identifies the series.
    """

    spec: tuple[tuple[str, Any], ...]
    rule: Rule = field(compare=False)
    tz: ZoneInfo = field(compare=False)
    start: datetime = field(default=FIRST, compare=False)
    end: datetime = field(default=LAST, compare=False)
    exclude: Exclusions | None = field(default=None, compare=False)
    _known: list[tuple[datetime, datetime]] = field(
        default_factory=lambda: [(LAST, LAST)], repr=False, compare=False
    )
    _limits: dict[datetime, datetime] = field(default_factory=dict, repr=False, compare=False)

    def find_after(self, when: datetime, budget: Budget) -> datetime | None:
        """Return the first fire time later than `when`, or None. Raises TooMuchWork."""
        since, known = self._known[0]
        if since <= when < known:
            return known
        found = self._search(self.rule.find_after, max(when, self.start - MICROSECOND), 1, budget)
        if found:
            self._known[0] = (min(since, when) if found == known else when, found)
        return found

    def find_latest(self, when: datetime, budget: Budget) -> datetime | None:
        """Return the last fire time at or before `when`, or None. Raises TooMuchWork."""
        return self._search(self.rule.find_latest, min(when, self.end - MICROSECOND), 0, budget)

    def jitter_limit(self, tick: datetime, budget: Budget) -> datetime:
        """Return the instant before which jitter has to keep a fire time. Raises TooMuchWork.

        It is the next fire time, the end, or the first excluded instant, whichever comes first.
        """
        known = self._limits.get(tick)
        if known is None:
            following = self._search(self.rule.find_after, tick, 1, budget)
            known = min(following or LAST, self.end, tick + _FAR)
            if self.exclude:
                known = self.exclude.first_within(tick, known)
            if len(self._limits) >= _LIMITS_KEPT:
                self._limits.clear()
            self._limits[tick] = known
        return known

    def _search(
        self,
        find: Callable[[datetime, Budget], datetime | None],
        when: datetime,
        edge: int,
        budget: Budget,
    ) -> datetime | None:
        """Search past excluded stretches: to their end with `edge` 1, to their start with 0."""
        most = _MAX_SKIPPED + (self.exclude.size if self.exclude else 0)
        with suppress(OverflowError):
            for _ in range(most):
                found = find(when, budget)
                if not found or not self.start <= found < self.end:
                    return None
                stretch = self.exclude and self.exclude.stretch_at(found)
                if not stretch:
                    return found
                budget.spend(_SKIP_COST)
                when = stretch[edge] - MICROSECOND
        return None


@dataclass(frozen=True, slots=True)
class Schedule:
    """The fire times of a job. Immutable and hashable. Equal if made from equal parts.

    Returned times are aware UTC. Times that are passed in may be in any zone. A naive time raises
    ValueError. A search costs at most `budget.MAX_STEPS` steps. An answer takes one search, with
    jitter up to four. Schedules from `parse` stay within that. A stored schedule that does not
    raises ScheduleError.
    """

    _series: Series
    _offset: int = 0

    @property
    def timezone(self) -> str:
        """Return the IANA name of the zone whose wall clock applies."""
        return self._series.tz.key

    @property
    def is_quick(self) -> bool:
        """Return whether there may be more than one fire time in a minute."""
        rule = self._series.rule
        return is_quick_rule(rule.spec_key, rule.spec_value)

    def after(self, when: datetime) -> datetime | None:
        """Return the first fire time later than `when`, or None if there is none."""
        if not self._offset:
            return self._ask(self._series.find_after, to_utc(when))
        when = to_utc(when)
        # Fire times before this one are over by `when`, even with the whole offset.
        tick = self._ask(self._series.find_after, when - timedelta(seconds=self._offset))
        if tick and tick <= when and self._ask(self._series.jitter_limit, tick) <= when:
            tick = self._ask(self._series.find_latest, when)
        if tick and (shifted := self._shift(tick)) > when:
            return shifted
        tick = self._ask(self._series.find_after, when)
        return self._shift(tick) if tick else None

    def latest(self, when: datetime) -> datetime | None:
        """Return the last fire time at or before `when`, or None if there is none."""
        when = to_utc(when)
        tick = self._ask(self._series.find_latest, when)
        if tick and self._offset:
            if (shifted := self._shift(tick)) <= when:
                return shifted
            tick = self._ask(self._series.find_latest, tick - MICROSECOND)
        return self._shift(tick) if tick else None

    def nominal(self, tick: datetime) -> datetime:
        """Return a fire time without its jitter."""
        return (self._offset and self._ask(self._series.find_latest, to_utc(tick))) or tick

    def _shift(self, tick: datetime) -> datetime:
        """Return when a fire time of the series is due, which is before its jitter limit.

        An offset that reaches the limit is taken modulo the time until then. So fire times keep
        their order, none is left out, and jobs with one schedule stay spread.
        """
        if not self._offset:
            return tick
        offset = timedelta(seconds=self._offset)
        room = self._ask(self._series.jitter_limit, tick) - tick
        return tick + (offset if offset < room else offset % room)

    def _ask(self, search: Callable[[datetime, Budget], T], when: datetime) -> T:
        try:
            return search(when, Budget())
        except TooMuchWork as error:
            raise ScheduleError([("schedule", str(error))]) from None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the fire times with start <= time < end, each computed when it is taken."""
        tick = self.after(to_utc(start) - MICROSECOND)
        end = to_utc(end)
        while tick and tick < end:
            yield tick
            tick = self.after(tick)

    def describe(self) -> str:
        """Return e.g. `At 09:00 every day (Europe/Berlin), except 2026-12-24`."""
        series, clauses = self._series, []
        text = series.rule.describe()
        start, end = (wall_text(to_wall_time(series.tz, at)) for at in (series.start, series.end))
        if series.start > FIRST and start not in text:
            clauses.append(f"from {start}")
        if series.end < LAST:
            clauses.append(f"until {end}")
        if entries := [entry.replace("/", " to ") for entry in dict(series.spec).get("x", ())]:
            more = [f"{len(entries) - 3} more"] if len(entries) > 4 else entries[3:]
            clauses.append(f"except {join_words(entries[:3] + more)}")
        if clauses and series.tz.key not in text:
            clauses[-1] += f" ({series.tz.key})"
        if self._offset:
            clauses.append(f"shifted by {self._offset} s")
        return ", ".join([text, *clauses])

    def to_spec(self) -> dict[str, Any]:
        """Return the input of `from_spec`: JSON-compatible and without defaults.

        The keys are c (cron expression), e (interval in seconds), t (time of a single run) or r
        (recurrence rule), and optionally z (zone), s (start), u (end), x (exclusions) and j (jitter
        in seconds).
        """
        spec = {key: list(value) if key == "x" else value for key, value in self._series.spec}
        return spec | {"j": self._offset} if self._offset else spec
