"""Notifies about runs that did not end in time (`expect_within`)."""

import structlog

from cron_tasks.jobs.job import Job
from cron_tasks.ledger.alarms import Alarms
from cron_tasks.ledger.records import Message
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.runs.late import write_late_message
from cron_tasks.settings import Settings
from cron_tasks.store import keys

log = structlog.get_logger("cron_tasks.beat")

#: The most late runs that are handled in one go.
PAGE = 500
#: Seconds after which beat looks again for the entry of a registered job.
AGAIN = 10.0


def tell_late_runs(alarms: Alarms, now: float, settings: Settings) -> bool:
    """Notify about one page of late runs. Return whether there may be more.

    The script notifies about each run once, even if several beats call it at the same time.
    """
    run_ids = alarms.list_expected(now, PAGE)
    if not run_ids:
        return False
    with alarms.redis.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.OPEN, run_ids)
        pipe.hmget(keys.JOBS, [run_id.job_id for run_id in run_ids])
        for run_id in run_ids:
            pipe.hget(keys.entry_key(run_id.job_id), "job")
        states, indexed, *documents = pipe.execute(raise_on_error=False)
    for reply in (states, indexed):
        if isinstance(reply, Exception):
            raise reply
    rows, unclear = list[tuple[RunId, bool, Message | None]](), list[RunId]()
    for run_id, state, known, document in zip(run_ids, states, indexed, documents, strict=True):
        if document is None and known is not None:
            unclear.append(run_id)  # A sync will write the entry of this job again.
        else:
            rows.append(_judge(run_id, state, document, now, settings))
    alarms.expect_later(unclear, now + AGAIN)
    if told := alarms.tell_late(now, rows):
        log.warning("runs.late", runs=told, job_ids=[each.job_id for each in run_ids[:5]])
    return len(run_ids) == PAGE


def _judge(
    run_id: RunId, state: str | None, document: object, now: float, settings: Settings
) -> tuple[RunId, bool, Message | None]:
    """Return a row for `tell_late`. There is no notification for a job that was removed or is
    unreadable."""
    try:
        job = Job.from_document(document if isinstance(document, str) else "")
        known = State.parse(state) if state else None
    except ValueError:
        return run_id, False, None
    return run_id, True, write_late_message(job, run_id, known, now, settings)
