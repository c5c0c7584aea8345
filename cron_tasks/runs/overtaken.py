"""Fire times that an edit, a pause or a removal overtook: they were due, and had not fired.

The script of the change accounts for them. A second call records them and notifies about them like
other missed fire times, because Lua cannot compute the last one of a stretch or the text of a
notification. If a crash comes between the two calls, `why` and `audit` are still right.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import structlog

from cron_tasks.jobs.job import Job
from cron_tasks.ledger.counting import count_missed
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Overtaken
from cron_tasks.runs.outcomes import record_missed
from cron_tasks.schedules.catchup import Missed, count_fire_times
from cron_tasks.settings import Settings

log = structlog.get_logger("cron_tasks.sync")


def list_overtaken(
    ledger: Ledger, settings: Settings, overtaken: Iterable[Overtaken], reason: str, now: float
) -> None:
    """Record the fire times that changes of one page overtook, and notify if the jobs want that."""
    ledger.list_overtaken(now, list(_write_rows(overtaken, reason, now, settings)))


def _write_rows(
    overtaken: Iterable[Overtaken], reason: str, now: float, settings: Settings
) -> Iterator[tuple[str | bytes, ...]]:
    for each in overtaken:
        try:
            job = Job.from_document(each.document)
            missed = Missed(float(each.first), _last_fire_time(job, each), reason)
        except ValueError as error:
            # The account keeps its fire times, without an end.
            log.warning("job.unreadable", job_id=each.job_id, error=str(error))
            continue
        record, message = record_missed(job, missed, now, settings)
        queue, payload = (message.queue, message.payload) if message else ("", b"")
        ticks = count_fire_times(job.schedule, missed.first, missed.last) - each.counted
        counts = count_missed(reason, ticks)
        yield each.job_id, each.first, each.line, record, queue, payload, counts


def _last_fire_time(job: Job, overtaken: Overtaken) -> float:
    """Return the last of the fire times."""
    latest = job.schedule.latest(datetime.fromtimestamp(overtaken.until, UTC))
    first = float(overtaken.first)
    return max(first, latest.timestamp()) if latest else first
