"""When a job that is written into the registry is due next. Pure."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from cron_tasks.registry import entries
from cron_tasks.registry.plan import Desired
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.catchup import next_fire_time, nominal_time


def by_time(
    page: Sequence[Desired], now: float, last_read: float | None
) -> Iterator[tuple[Sequence[Desired], float]]:
    """Split a page by the time after which its jobs are due: `now`, or when the list was read last.

    The latter holds for a job whose last tick has come between the two: a reminder "in 30 seconds"
    is over before a sync that comes each minute sees it.
    """
    if last_read is None:
        yield page, now
        return
    late = [
        desired
        for desired in page
        if desired.job.enabled
        and next_fire_time(desired.job.schedule, now) is None
        and next_fire_time(desired.job.schedule, last_read) is not None
    ]
    ids = {desired.job.id for desired in late}
    yield [desired for desired in page if desired.job.id not in ids] if late else page, now
    if late:
        yield late, last_read


@lru_cache(maxsize=16384)
def first_due(schedule: Schedule, enabled: bool, now: float) -> tuple[str, str]:
    """Return what decides when a job fires, and its next tick as `put` takes it: '' for none."""
    upcoming = next_fire_time(schedule, now) if enabled else None
    due = "" if upcoming is None else repr(upcoming)
    if upcoming is not None and (nominal := nominal_time(schedule, upcoming)) != upcoming:
        due += f"|{nominal!r}"
    return entries.timing(schedule, enabled), due
