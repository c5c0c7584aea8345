"""Computes the first fire time of a job that is written into the registry. Pure."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

from cron_tasks.registry import entries
from cron_tasks.registry.plan import Desired
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.catchup import next_fire_time, nominal_time
from cron_tasks.store.caches import drop_oldest

#: Answers that are kept.
MOST_KNOWN = 16384


class _Answer(NamedTuple):
    """An answer, and the times between which it is the same. It is no longer true at `until`."""

    since: float
    until: float
    due: tuple[str, str, str]


_known: dict[tuple[Schedule, bool], _Answer] = {}


def group_by_read_time(
    page: Sequence[Desired], now: float, last_read: float | None
) -> Iterator[tuple[Sequence[Desired], float]]:
    """Yield the jobs of a page with the time after which they are due: `now`, or `last_read`.

    `last_read` is for a job whose only fire time has come since the list was last read. A reminder
    "in 30 seconds" is over before the next sync, which comes each minute, sees it.
    """
    if last_read is None:
        yield page, now
        return
    late = [
        desired
        for desired in page
        if desired.enabled
        and next_fire_time(desired.schedule, now) is None
        and next_fire_time(desired.schedule, last_read) is not None
    ]
    ids = {desired.id for desired in late}
    yield [desired for desired in page if desired.id not in ids] if late else page, now
    if late:
        yield late, last_read


def first_due(schedule: Schedule, enabled: bool, now: float) -> tuple[str, str, str]:
    """Return the arguments of `put`: the timing of a job, its next tick, and the tick without
    jitter.

    The next tick is "" for none. The tick without jitter is "" if it is the same. Jobs that share a
    schedule share an answer until that tick.
    """
    known = _known.get((schedule, enabled))
    if known is None or not known.since <= now < known.until:
        known = _known[schedule, enabled] = _find_first(schedule, enabled, now)
        drop_oldest(_known, MOST_KNOWN)
    return known.due


def _find_first(schedule: Schedule, enabled: bool, now: float) -> _Answer:
    timing = entries.format_timing(schedule, enabled)
    upcoming = next_fire_time(schedule, now) if enabled else None
    if upcoming is None:
        return _Answer(now, inf, (timing, "", ""))
    nominal = nominal_time(schedule, upcoming)
    due = timing, repr(upcoming), "" if nominal == upcoming else repr(nominal)
    return _Answer(now, upcoming, due)
