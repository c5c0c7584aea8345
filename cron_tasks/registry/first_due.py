"""Computes the first fire time of a job that is written into the registry. Pure."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from cron_tasks.registry import entries
from cron_tasks.registry.plan import Desired
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.catchup import next_fire_time, nominal_time


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


@lru_cache(maxsize=16384)
def first_due(schedule: Schedule, enabled: bool, now: float) -> tuple[str, str, str]:
    """Return the arguments of `put`: the timing of a job, its next tick, and the tick without
    jitter.

    The next tick is "" for none. The tick without jitter is "" if it is the same.
    """
    timing = entries.format_timing(schedule, enabled)
    upcoming = next_fire_time(schedule, now) if enabled else None
    if upcoming is None:
        return timing, "", ""
    nominal = nominal_time(schedule, upcoming)
    return timing, repr(upcoming), "" if nominal == upcoming else repr(nominal)
