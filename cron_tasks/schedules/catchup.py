"""Decide which of the fire times that are due still run (the catch-up policy).

Pure: no clock and no Redis. Times are seconds since the epoch, as in a Redis score.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from cron_tasks.schedules.zones import MICROSECOND

#: The most runs of one job that start in one round. The rest follow in the next round.
MAX_AT_ONCE = 1000
#: The most missed fire times of one job that are counted at once, so that beat is not delayed.
MOST_COUNTED = 10_000
#: Why a fire time that is too late is missed, by the catch-up policy.
_MISSED_REASONS = {"one": "coalesced", "none": "no_catchup", "all": "outside_window"}


class FireTimes(Hashable, Protocol):
    """The fire times of a job, such as a `Schedule`."""

    def after(self, when: datetime) -> datetime | None: ...
    def latest(self, when: datetime) -> datetime | None: ...
    def nominal(self, tick: datetime) -> datetime: ...


@dataclass(frozen=True, slots=True)
class WithoutSkipped:
    """A schedule without some of its fire times (in seconds)."""

    schedule: FireTimes
    skipped: frozenset[float]

    def after(self, when: datetime) -> datetime | None:
        found = self.schedule.after(when)
        while found is not None and found.timestamp() in self.skipped:
            found = self.schedule.after(found)
        return found

    def latest(self, when: datetime) -> datetime | None:
        found = self.schedule.latest(when)
        while found is not None and found.timestamp() in self.skipped:
            found = self.schedule.latest(found - MICROSECOND)
        return found

    def nominal(self, tick: datetime) -> datetime:
        return self.schedule.nominal(tick)


class CatchupPolicy(Protocol):
    """The field `catchup` of a job (docs/contract.md, section 3). `window` is in seconds."""

    @property
    def policy(self) -> str: ...
    @property
    def window(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Missed:
    """The fire times from `first` to `last`, both included, which will not run."""

    first: float
    last: float
    reason: str


@dataclass(slots=True)
class Firing:
    """The next steps of a due job: run `ticks`, record `missed`, and be due again at `next`."""

    ticks: tuple[float, ...]
    missed: Missed | None
    next: float | None


def late_reason(
    scheduled_for: float, now: float, catchup: CatchupPolicy, grace: float
) -> str | None:
    """Return why a run that has not started by `now` must not start, or None if it may.

    The reason is `no_catchup` or `outside_window`.
    """
    late = now - scheduled_for
    if late <= grace:
        return None
    if catchup.policy == "none":
        return "no_catchup"
    return "outside_window" if late > catchup.window else None


def apply_catchup(
    schedule: FireTimes, due: float, now: float, catchup: CatchupPolicy, grace: float
) -> Firing:
    """Split the fire times from `due` to `now` into those that run and those that are missed.

    A fire time that is at most `grace` seconds late is on time and runs, so a failover loses none.
    Beyond that the catch-up policy decides. `none` runs nothing. `all` runs each fire time within
    the window. `one` runs the latest within the window, unless a later one is on time.
    """
    reach = max(grace, catchup.window) if catchup.policy == "all" else grace
    if now - due <= reach:
        return fire_all(schedule, due, now)
    start = _to_seconds(schedule.after(_to_moment(now - reach) - MICROSECOND))
    if catchup.policy == "one" and (start is None or start > now):
        return _fire_latest(schedule, due, now, catchup.window)
    last = _to_seconds(schedule.latest(_to_moment(now - reach) - MICROSECOND))
    missed = Missed(due, max(last or due, due), _MISSED_REASONS[catchup.policy])
    return _fire_from(schedule, start, now, missed)


def fire_all(schedule: FireTimes, due: float | None, now: float) -> Firing:
    """Run every fire time from `due` to `now`."""
    return _fire_from(schedule, due, now, None)


def _fire_latest(schedule: FireTimes, due: float, now: float, window: float) -> Firing:
    latest = max(_to_seconds(schedule.latest(_to_moment(now))) or due, due)
    following = _to_seconds(schedule.after(_to_moment(max(latest, now))))
    if now - latest > window:
        return Firing((), Missed(due, latest, "outside_window"), following)
    if latest == due:
        return Firing((due,), None, following)
    previous = _to_seconds(schedule.latest(_to_moment(latest) - MICROSECOND))
    return Firing((latest,), Missed(due, max(previous or due, due), "coalesced"), following)


def _fire_from(
    schedule: FireTimes, start: float | None, now: float, missed: Missed | None
) -> Firing:
    ticks: list[float] = []
    while start is not None and start <= now and len(ticks) < MAX_AT_ONCE:
        ticks.append(start)
        start = next_fire_time(schedule, start)
    return Firing(tuple(ticks), missed, start)


@lru_cache(maxsize=65536)
def next_fire_time(schedule: FireTimes, when: float) -> float | None:
    """Return the first fire time after `when`, or None if the schedule never fires again.

    Results are cached, because many jobs share a schedule and a time.
    """
    return _to_seconds(schedule.after(_to_moment(when)))


@lru_cache(maxsize=4096)
def count_fire_times(schedule: FireTimes, first: float, last: float) -> int:
    """Return the number of fire times from `first` to `last`, both included.

    The result is at most MOST_COUNTED. It is cached, because jobs that share a schedule miss the
    same fire times in an outage.
    """
    count, tick = 0, _to_seconds(schedule.after(_to_moment(first) - MICROSECOND))
    while tick is not None and tick <= last and count < MOST_COUNTED:
        count += 1
        tick = _to_seconds(schedule.after(_to_moment(tick)))
    return count


def nominal_time(schedule: FireTimes, tick: float) -> float:
    """Return a fire time without its jitter."""
    return schedule.nominal(_to_moment(tick)).timestamp()


def is_fire_time(schedule: FireTimes, when: float) -> bool:
    """Return whether the schedule fires at `when`."""
    moment = _to_moment(when)
    return schedule.latest(moment) == moment


def select_fire_times(
    schedule: FireTimes, times: Iterable[float], first: float, last: float
) -> list[float]:
    """Return those of `times` from `first` to `last` at which the schedule fires."""
    return [when for when in times if first <= when <= last and is_fire_time(schedule, when)]


def _to_moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _to_seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
