"""What is wrong with rejected rows, kept for the reports to the REST service."""

from collections.abc import Sequence
from typing import cast

from redis import Redis

from cron_tasks.jobs.rejected import Rejected
from cron_tasks.registry.fence import Fence, replace_hash
from cron_tasks.store import names
from cron_tasks.text.display import printable

#: What is wrong with a row is told in up to this many characters.
ERROR_SHOWN = 2000


def note_rejected(redis: Redis, rejected: Sequence[Rejected], now: float, fence: Fence) -> None:
    """Store the errors of each rejected row.

    A job is reported again when its errors appear, change or disappear.
    Raises WriteRefused when `fence` no longer holds.
    """
    faults: dict[str, list[str]] = {}
    for row in rejected:
        if row.id is not None:
            faults.setdefault(row.id, []).extend(row.errors)
    errors = {job_id: printable("; ".join(each), ERROR_SHOWN) for job_id, each in faults.items()}
    known = cast("dict[str, str]", redis.hgetall(names.REPORTED_ERRORS))
    news = [each for each in known | errors if known.get(each) != errors.get(each)]
    if not news:
        return
    # Asked for before, so that a crash in between loses no report, and after, since a report that
    # was sent in between had the old errors.
    asked_for = dict.fromkeys(news, now)
    redis.zadd(names.REPORTS, asked_for)
    replace_hash(redis, names.REPORTED_ERRORS, errors, fence)
    redis.zadd(names.REPORTS, asked_for)
