"""Request reports to the REST service (report/), and remember those that it refused.

A report that was refused is not sent again until there is newer news. The cause may be the path, so
it is sent once more when reports go to another address.
"""

from collections.abc import Collection, Iterable
from typing import cast

from redis import Redis

from cron_tasks.store import keys
from cron_tasks.store.paging import pages


def request_reports(redis: Redis, job_ids: Iterable[str], at: float) -> None:
    """Have each of these jobs reported from the time `at` on, in seconds since the epoch."""
    for page in pages(job_ids):
        redis.zadd(keys.REPORTS, dict.fromkeys(page, at))


def note_refused(redis: Redis, job_ids: Collection[str], address: str) -> None:
    """Note that the service at `address` refused the reports of these jobs."""
    if job_ids:
        known = cast("list[str | None]", redis.hmget(keys.JOBS, list(job_ids)))
        kept = [job_id for job_id, found in zip(job_ids, known, strict=True) if found is not None]
        if kept:
            redis.hset(keys.REFUSED_REPORTS, mapping=dict.fromkeys(kept, address))


def forget_refused(redis: Redis, job_ids: Iterable[str]) -> None:
    """Forget that reports were refused: those of removed jobs, and those accepted since."""
    for page in pages(job_ids):
        redis.hdel(keys.REFUSED_REPORTS, *page)


def retry_refused(redis: Redis, address: str, now: float) -> int:
    """Request the reports that were refused at any other address. Return how many."""
    refused = cast("dict[str, str]", redis.hgetall(keys.REFUSED_REPORTS))
    elsewhere = [job_id for job_id, where in refused.items() if where != address]
    request_reports(redis, elsewhere, now)
    forget_refused(redis, elsewhere)
    return len(elsewhere)
