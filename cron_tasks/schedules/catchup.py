"""Ticks: their names, and which of those that are due still run.

Pure: no clock, no Redis. Times are seconds since the epoch, as in a Redis score.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

#: Most ticks of one job fired in one go; the rest follow in the next round.
MOST_AT_ONCE = 1000
_INSTANT = timedelta(microseconds=1)
#: Why a tick that is too late is missed, by the catch-up policy.
_OLD = {"one": "coalesced", "none": "no_catchup", "all": "outside_window"}


class HasTicks(Hashable, Protocol):
    def after(self, when: datetime) -> datetime | None: ...
    def latest(self, when: datetime) -> datetime | None: ...
    def nominal(self, tick: datetime) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Without:
    """A schedule without some of its fire times (seconds)."""

    schedule: HasTicks
    skipped: frozenset[float]

    def after(self, when: datetime) -> datetime | None:
        found = self.schedule.after(when)
        while found is not None and found.timestamp() in self.skipped:
            found = self.schedule.after(found)
        return found

    def latest(self, when: datetime) -> datetime | None:
        found = self.schedule.latest(when)
        while found is not None and found.timestamp() in self.skipped:
            found = self.schedule.latest(found - _INSTANT)
        return found

    def nominal(self, tick: datetime) -> datetime:
        return self.schedule.nominal(tick)


class Catchup(Protocol):
    """What becomes of ticks that came due while nothing ran (contract, field `catchup`)."""

    @property
    def policy(self) -> str: ...
    @property
    def window(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Missed:
    """The ticks from `first` to `last`, both included, which will not run."""

    first: float
    last: float
    reason: str


@dataclass(slots=True)
class Firing:
    """What to do with a due job: run `ticks`, record `missed`, be due again at `next`."""

    ticks: tuple[float, ...]
    missed: Missed | None
    next: float | None


def late_reason(scheduled_for: float, now: float, catchup: Catchup, grace: float) -> str | None:
    """Why a tick that has not started by `now` must not start any more; None: it may."""
    late = now - scheduled_for
    if late <= grace:
        return None
    if catchup.policy == "none":
        return "no_catchup"
    return "outside_window" if late > catchup.window else None


def due_ticks(schedule: HasTicks, due: float, now: float, catchup: Catchup, grace: float) -> Firing:
    """Split the ticks from `due` to `now` into those that run and those that are missed.

    A tick that is at most `grace` seconds late is on time and runs, so that a failover costs none.
    Beyond that the catch-up policy decides: `none` runs no tick, `all` each that is within the
    window, `one` the latest that is within the window, unless a later one is on time.
    """
    reach = max(grace, catchup.window) if catchup.policy == "all" else grace
    if now - due <= reach:
        return on_time(schedule, due, now)
    start = _seconds(schedule.after(_moment(now - reach) - _INSTANT))
    if catchup.policy == "one" and (start is None or start > now):
        return _fire_latest(schedule, due, now, catchup.window)
    last = _seconds(schedule.latest(_moment(now - reach) - _INSTANT))
    return _fire_from(
        schedule, start, now, Missed(due, max(last or due, due), _OLD[catchup.policy])
    )


def on_time(schedule: HasTicks, due: float | None, now: float) -> Firing:
    """Every tick from `due` to `now` runs."""
    return _fire_from(schedule, due, now, None)


def _fire_latest(schedule: HasTicks, due: float, now: float, window: float) -> Firing:
    latest = max(_seconds(schedule.latest(_moment(now))) or due, due)
    following = _seconds(schedule.after(_moment(max(latest, now))))
    if now - latest > window:
        return Firing((), Missed(due, latest, "outside_window"), following)
    if latest == due:
        return Firing((due,), None, following)
    previous = _seconds(schedule.latest(_moment(latest) - _INSTANT))
    return Firing((latest,), Missed(due, max(previous or due, due), "coalesced"), following)


def _fire_from(
    schedule: HasTicks, start: float | None, now: float, missed: Missed | None
) -> Firing:
    ticks: list[float] = []
    while start is not None and start <= now and len(ticks) < MOST_AT_ONCE:
        ticks.append(start)
        start = next_tick(schedule, start)
    return Firing(tuple(ticks), missed, start)


@lru_cache(maxsize=65536)
def next_tick(schedule: HasTicks, when: float) -> float | None:
    """First tick strictly after `when`; cached, since many jobs share a schedule and a time."""
    return _seconds(schedule.after(_moment(when)))


def nominal_time(schedule: HasTicks, tick: float) -> float:
    """Return when a tick would be due without jitter."""
    return schedule.nominal(_moment(tick)).timestamp()


def ticks_at(schedule: HasTicks, when: float) -> bool:
    """Whether `when` is a fire time."""
    moment = _moment(when)
    return schedule.latest(moment) == moment


def ticks_among(
    schedule: HasTicks, times: Iterable[float], first: float, last: float
) -> list[float]:
    """Return those of `times` from `first` to `last` that are fire times."""
    return [when for when in times if first <= when <= last and ticks_at(schedule, when)]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
