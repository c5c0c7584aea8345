"""Ticks that an edit, a pause or a removal overtook: due, and not fired by then.

The script that makes the change accounts for them. Here they are listed and told like other missed
ticks, by a second call a page: the text of a message, and the last tick of a stretch, are not for
Lua to compute. Where a crash comes between the two, `why` and `audit` are right all the same.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import structlog

from cron_tasks.jobs.job import Job
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Overtaken
from cron_tasks.runs.outcomes import record_missed
from cron_tasks.schedules.catchup import Missed
from cron_tasks.settings import Settings

log = structlog.get_logger("cron_tasks.sync")


def list_overtaken(
    ledger: Ledger, settings: Settings, overtaken: Iterable[Overtaken], reason: str, now: float
) -> None:
    """List the ticks that changes of one page overtook, and tell of them where the jobs want it."""
    ledger.list_overtaken(now, list(_write_rows(overtaken, reason, now, settings)))


def _write_rows(
    overtaken: Iterable[Overtaken], reason: str, now: float, settings: Settings
) -> Iterator[tuple[str | bytes, ...]]:
    for each in overtaken:
        try:
            job = Job.from_document(each.document)
            missed = Missed(float(each.first), _last_fire_time(job, each), reason)
        except ValueError as error:
            # Its ticks stay as the account has them, without an end.
            log.warning("job.unreadable", job_id=each.job_id, error=str(error))
            continue
        record, told = record_missed(job, missed, now, settings)
        queue, message = (told.queue, told.payload) if told else ("", b"")
        yield each.job_id, each.first, each.line, record, queue, message


def _last_fire_time(job: Job, overtaken: Overtaken) -> float:
    """The last of the ticks."""
    latest = job.schedule.latest(datetime.fromtimestamp(overtaken.until, UTC))
    first = float(overtaken.first)
    return max(first, latest.timestamp()) if latest else first
