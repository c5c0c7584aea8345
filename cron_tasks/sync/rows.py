"""Plan a sync of single rows, as if they were a list, from the contents of the registry."""

from collections.abc import Sequence
from typing import Any, cast

from redis import Redis

from cron_tasks.jobs.queues import find_queue_uses
from cron_tasks.jobs.row import row_id
from cron_tasks.registry.plan import Changes, Policy, plan_changes
from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys


def plan_rows(
    registry: Registry, ids: Sequence[str], rows: Sequence[tuple[str, Any]], policy: Policy
) -> Changes | None:
    """Compare rows, as (place, row), with the registry. These are the rows of these ids.

    Return None if a row names queues that its job did not have. Such queues have to be compared
    with those of all other jobs, so the whole list has to be read.
    """
    known = cast("list[str | None]", registry.redis.hmget(keys.JOBS, list(ids)))
    current = {job_id: found for job_id, found in zip(ids, known, strict=True) if found}
    new = {
        (row_id(row), use.field, use.name)
        for place, row in rows
        for use in find_queue_uses(row, place)
    }
    if new:
        for found in registry.read_jobs(current):
            job = found.job
            new -= {(job.id, "queue", job.queue), (job.id, "notify.queue", job.notify.queue)}
    if new:
        return None
    return plan_changes(current, rows, policy)


def count_scheduled(redis: Redis, ids: Sequence[str]) -> int:
    """Return the number of these jobs that are in the schedule."""
    if not ids:
        return 0
    scores = redis.zmscore(keys.SCHEDULE, [keys.entry_key(each) for each in ids])
    return sum(score is not None for score in scores)
