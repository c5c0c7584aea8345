"""The ticks to be skipped: `cron_tasks:skips`, their run ids scored with the fire time.

A skip belongs to a job and a fire time. It is not part of the entry, so no edit, pause, or removal
and return undoes it. The schedule is not changed: when the fire time comes, beat records the tick
as skipped (beat/due.py) and removes the skip.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from redis import Redis

from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.catchup import FireTimes, next_fire_time
from cron_tasks.store import keys
from cron_tasks.store.scripts import script

#: The fire times to skip (seconds), earliest first, by job.
Skips = Mapping[str, tuple[float, ...]]
NO_SKIPS: Skips = MappingProxyType({})

_skip = script("registry/skip")
_unskip = script("registry/unskip")
_adopt = script("registry/adopt_job")


def group_by_job(run_ids: Iterable[str]) -> Skips:
    """Group run ids, earliest first, by their job. Text that is not a run id is left out."""
    found: dict[str, tuple[float, ...]] = {}
    for each in run_ids:
        if run := RunId.parse(each):
            found[run.job_id] = (*found.get(run.job_id, ()), run.scheduled_for)
    return found


def read_skips(redis: Redis) -> Skips:
    """Read all skips in one round trip."""
    return group_by_job(cast("list[str]", redis.zrange(keys.SKIPS, 0, -1)))


def first_not_skipped(
    schedule: FireTimes, due: float | None, skipped: Collection[float]
) -> float | None:
    """Return the first fire time from `due` on that is not skipped. None if there is none."""
    while due is not None and due in skipped:
        due = next_fire_time(schedule, due)
    return due


def adopt_skips(redis: Redis, job_id: str, now: float) -> None:
    """Convert the skips of a job from the shape of the previous version.

    That version wrote the record of the skipped tick at once, and moved the entry's score on.
    """
    _adopt(redis, key=keys.entry_key(job_id), job_id=job_id, now=now)


def add_skip(redis: Redis, job_id: str, tick: float, now: float, report: bool = False) -> bool:
    """Skip a tick of a scheduled job. Return False if it has fired or is skipped already.

    With `report` the job's new next tick is reported to the REST service.
    """
    return bool(_skip(redis, fire_time=tick, **_skip_values(job_id, tick, now, report)))


def remove_skip(redis: Redis, job_id: str, tick: float, now: float, report: bool = False) -> bool:
    """Take a skip back, so that the tick runs. Return False if it is not, or no longer, skipped."""
    return bool(_unskip(redis, **_skip_values(job_id, tick, now, report)))


def _skip_values(job_id: str, tick: float, now: float, report: bool) -> dict[str, Any]:
    """Return what the scripts of a skip and of its undo have in common."""
    about = {"key": keys.entry_key(job_id), "job_id": job_id, "run_id": RunId(job_id, tick)}
    return {**about, "now": now, "report": report}
