"""Ticks that somebody wants skipped: `cron_tasks:skips`, their run ids scored with the fire time.

A skip belongs to a job and a fire time. It is not part of the entry, so no edit, pause, or removal
and return undoes it, and nothing is moved in the schedule: when the fire time comes, beat records
the tick as skipped (due.py) and takes the skip out.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import cast

from redis import Redis

from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.catchup import FireTimes, next_fire_time
from cron_tasks.store import names
from cron_tasks.store.scripts import positional

#: The fire times to skip (seconds), earliest first, by job.
Skips = Mapping[str, tuple[float, ...]]
NONE: Skips = MappingProxyType({})

_skip = positional("registry/skip")
_unskip = positional("registry/unskip")
_adopt = positional("registry/adopt_job")


def by_job(run_ids: Iterable[str]) -> Skips:
    """Group run ids, earliest first, by their job. What is not a run id is left out."""
    found: dict[str, tuple[float, ...]] = {}
    for each in run_ids:
        if run := RunId.parse(each):
            found[run.job_id] = (*found.get(run.job_id, ()), run.scheduled_for)
    return found


def read(redis: Redis) -> Skips:
    """Read all skips; one round trip."""
    return by_job(cast("list[str]", redis.zrange(names.SKIPS, 0, -1)))


def first_kept(schedule: FireTimes, due: float | None, skipped: Collection[float]) -> float | None:
    """Return the first tick from `due` on that is not skipped; None if there is none."""
    while due is not None and due in skipped:
        due = next_fire_time(schedule, due)
    return due


def adopt(redis: Redis, job_id: str, now: float) -> None:
    """Make skips of a job that the version before stored those of this version.

    That version wrote the record of the skipped tick at once, and moved the entry's score on.
    """
    args = [names.ACCOUNT_PREFIX + job_id, names.entry_key(job_id), repr(now)]
    _adopt(redis, [names.SCHEDULE, names.SKIPS], args)


def add(redis: Redis, job_id: str, tick: float, now: float, report: bool = False) -> bool:
    """Skip a tick of a job that is scheduled; False if it has fired or is skipped already.

    `report` says that the REST service is told the job's next tick.
    """
    keys = [names.SCHEDULE, names.EDITS, names.SKIPS, *([names.REPORTS] if report else [])]
    args = [names.entry_key(job_id), RunId(job_id, tick), repr(tick), repr(now), job_id]
    return bool(_skip(redis, keys, args))


def take_back(redis: Redis, job_id: str, tick: float, now: float, report: bool = False) -> bool:
    """Let a skipped tick run after all; False if it is not to be skipped, or was just now."""
    keys = [names.EDITS, names.SKIPS, *([names.REPORTS] if report else [])]
    args = [names.entry_key(job_id), RunId(job_id, tick), repr(now), job_id]
    return bool(_unskip(redis, keys, args))
