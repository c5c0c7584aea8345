"""What beat passes over when it fires a job: ticks that are missed or skipped. Pure."""

from collections.abc import Iterable

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import OpenRun, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.runs.outcomes import Attempt, Result, conclude
from cron_tasks.settings import Settings


def skipped(job: Job, ticks: Iterable[float], now: float, settings: Settings) -> list[Outcome]:
    """Return the ends of ticks (seconds) that somebody had skipped."""
    result, by = Result("skipped", "by_hand"), Attempt(0, None, now, None)
    run_ids = [RunId(job.id, tick) for tick in ticks]
    ends = []
    for run_id in run_ids:
        run = Run(job, run_id, run_id.scheduled_for, 0)
        unfired = OpenRun(run_id, State(Kind.PENDING), "", "")
        ends.append(conclude(run, unfired, result, by, settings, 0.0))
    return ends
