"""A schedule: a rule, the window it lives in, what it leaves out, and the job's own offset.

A `Series` is the part that jobs share: 10,000 jobs of one expression have one, interned by
`parse`, and with it one memory of the last answer. Between two ticks every question has the same
answer, so the memory is a stretch of time and not a table of questions.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules.budget import TooMuchWork, Work
from cron_tasks.schedules.exclusions import Exclusions
from cron_tasks.schedules.faults import listed
from cron_tasks.schedules.zones import FIRST, LAST, MICROSECOND, SECOND, local, utc, wall_text

#: A search gives up after so many excluded fire times in a row, and more if there are many
#: stretches. Quiet hours that exclude one fire time a day are so tried for more than a year.
_MOST_SKIPPED = 400
#: Steps of budget for an excluded fire time.
_SKIP = 20
#: The most that jitter may shift a tick, in seconds: 31 days.
MOST_JITTER = 2_678_400
#: No offset looks farther ahead than this.
_FAR = timedelta(seconds=MOST_JITTER) + SECOND
#: Limits of ticks that a series remembers: that of the tick which is due, and a few around it.
_LIMITS_KEPT = 8

T = TypeVar("T")


class Rule(Protocol):
    """Ticks before window and exclusions.

    Both searches may raise OverflowError for "none within reach", and TooMuchWork.
    """

    @property
    def key(self) -> str: ...
    @property
    def written(self) -> Any: ...
    def after(self, when: datetime, work: Work) -> datetime | None: ...
    def latest(self, when: datetime, work: Work) -> datetime | None: ...
    def describe(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Series:
    """The ticks of `rule` with start <= tick < end that lie in no exclusion; named by `spec`."""

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

    def after(self, when: datetime, work: Work) -> datetime | None:
        """The first tick later than `when`. Raises TooMuchWork."""
        since, tick = self._known[0]
        if since <= when < tick:
            return tick
        found = self._search(self.rule.after, max(when, self.start - MICROSECOND), 1, work)
        if found:
            self._known[0] = (min(since, when) if found == tick else when, found)
        return found

    def latest(self, when: datetime, work: Work) -> datetime | None:
        """The last tick at or before `when`. Raises TooMuchWork."""
        return self._search(self.rule.latest, min(when, self.end - MICROSECOND), 0, work)

    def limit(self, tick: datetime, work: Work) -> datetime:
        """Return up to when, not included, jitter may carry a tick. Raises TooMuchWork.

        That is the next tick, the end, or the first excluded instant, whichever comes first.
        """
        known = self._limits.get(tick)
        if known is None:
            following = self._search(self.rule.after, tick, 1, work)
            known = min(following or LAST, self.end, tick + _FAR)
            if self.exclude:
                known = self.exclude.first(tick, known)
            if len(self._limits) >= _LIMITS_KEPT:
                self._limits.clear()
            self._limits[tick] = known
        return known

    def _search(
        self,
        find: Callable[[datetime, Work], datetime | None],
        when: datetime,
        edge: int,
        work: Work,
    ) -> datetime | None:
        most = _MOST_SKIPPED + (self.exclude.size if self.exclude else 0)
        with suppress(OverflowError):
            for _ in range(most):
                tick = find(when, work)
                if not tick or not self.start <= tick < self.end:
                    return None
                stretch = self.exclude and self.exclude.stretch(tick)
                if not stretch:
                    return tick
                work.spend(_SKIP)
                when = stretch[edge] - MICROSECOND
        return None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is due. Immutable and hashable; equal if made from equal parts.

    Times that come back are aware UTC; those that go in are aware, of any zone (else ValueError).
    A search costs at most `work.LIMIT` steps; an answer takes one, with jitter up to four. What
    `parse` accepts stays within them; a stored schedule that does not raises ScheduleError.
    """

    _series: Series
    _offset: int = 0

    @property
    def timezone(self) -> str:
        """The IANA name of the zone whose wall clock counts."""
        return self._series.tz.key

    def after(self, when: datetime) -> datetime | None:
        """The first tick strictly later than `when`; None: never again."""
        if not self._offset:
            return self._asked(self._series.after, utc(when))
        when = utc(when)
        # Ticks before this one are over by `when`, even with the whole offset.
        tick = self._asked(self._series.after, when - timedelta(seconds=self._offset))
        if tick and tick <= when and self._asked(self._series.limit, tick) <= when:
            tick = self._asked(self._series.latest, when)
        if tick and (shifted := self._shifted(tick)) > when:
            return shifted
        tick = self._asked(self._series.after, when)
        return self._shifted(tick) if tick else None

    def latest(self, when: datetime) -> datetime | None:
        """The last tick at or before `when`; None: none yet."""
        when = utc(when)
        tick = self._asked(self._series.latest, when)
        if tick and self._offset:
            if (shifted := self._shifted(tick)) <= when:
                return shifted
            tick = self._asked(self._series.latest, tick - MICROSECOND)
        return self._shifted(tick) if tick else None

    def nominal(self, tick: datetime) -> datetime:
        """Return the time of a tick without jitter."""
        return (self._offset and self._asked(self._series.latest, utc(tick))) or tick

    def _shifted(self, tick: datetime) -> datetime:
        """Return when a tick of the series is due: it stays before the limit of its series.

        An offset that reaches the limit counts modulo the time until then. So ticks keep their
        order, none is left out, and jobs of one schedule stay spread.
        """
        if not self._offset:
            return tick
        offset, room = timedelta(seconds=self._offset), self._asked(self._series.limit, tick) - tick
        return tick + (offset if offset < room else offset % room)

    def _asked(self, search: Callable[[datetime, Work], T], when: datetime) -> T:
        try:
            return search(when, Work())
        except TooMuchWork as error:
            raise ScheduleError([("schedule", str(error))]) from None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The ticks with start <= tick < end, computed as they are taken."""
        tick = self.after(utc(start) - MICROSECOND)
        end = utc(end)
        while tick and tick < end:
            yield tick
            tick = self.after(tick)

    def describe(self) -> str:
        """`At 09:00 every day (Europe/Berlin), except 2026-12-24`"""
        series, clauses = self._series, []
        text = series.rule.describe()
        start, end = (wall_text(local(series.tz, edge)) for edge in (series.start, series.end))
        if series.start > FIRST and start not in text:
            clauses.append(f"from {start}")
        if series.end < LAST:
            clauses.append(f"until {end}")
        if entries := [entry.replace("/", " to ") for entry in dict(series.spec).get("x", ())]:
            more = [f"{len(entries) - 3} more"] if len(entries) > 4 else entries[3:]
            clauses.append(f"except {listed(entries[:3] + more)}")
        if clauses and series.tz.key not in text:
            clauses[-1] += f" ({series.tz.key})"
        if self._offset:
            clauses.append(f"shifted by {self._offset} s")
        return ", ".join([text, *clauses])

    def to_spec(self) -> dict[str, Any]:
        """What `from_spec` takes, JSON-able and without defaults. Keys: one of c (cron expression),
        e (seconds), t (time of a single tick) and r (recurrence rule); z zone, s start,
        u end (until), x exclusions, j seconds of jitter.
        """
        spec = {key: list(value) if key == "x" else value for key, value in self._series.spec}
        return spec | {"j": self._offset} if self._offset else spec
