"""Request reports to the REST service (report/), and store which ones it refused.

A refused report is not sent again until the job has further news. The cause may be the path, so the
report is sent once more if the address changes.
"""

from collections.abc import Collection, Iterable
from typing import cast

from redis import Redis

from cron_tasks.store import keys
from cron_tasks.store.paging import pages


def request_reports(redis: Redis, job_ids: Iterable[str], at: float) -> None:
    """Request a report of each of these jobs from the time `at` on, in seconds since the epoch."""
    for page in pages(job_ids):
        redis.zadd(keys.REPORTS, dict.fromkeys(page, at))


def note_refused(redis: Redis, job_ids: Collection[str], address: str) -> None:
    """Store that the service at `address` refused the reports of these jobs."""
    if job_ids:
        known = cast("list[str | None]", redis.hmget(keys.JOBS, list(job_ids)))
        kept = [job_id for job_id, found in zip(job_ids, known, strict=True) if found is not None]
        if kept:
            redis.hset(keys.REFUSED_REPORTS, mapping=dict.fromkeys(kept, address))


def forget_refused(redis: Redis, job_ids: Iterable[str]) -> None:
    """Forget the refusals of removed jobs, or of reports that were accepted since."""
    for page in pages(job_ids):
        redis.hdel(keys.REFUSED_REPORTS, *page)


def retry_refused(redis: Redis, address: str, now: float) -> int:
    """Request the reports that were refused at any other address. Return their number."""
    refused = cast("dict[str, str]", redis.hgetall(keys.REFUSED_REPORTS))
    elsewhere = [job_id for job_id, where in refused.items() if where != address]
    request_reports(redis, elsewhere, now)
    forget_refused(redis, elsewhere)
    return len(elsewhere)
