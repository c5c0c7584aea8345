"""The ends of ticks that beat skips when it fires a job. Pure."""

from collections.abc import Iterable

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import Open, Outcome
from cron_tasks.ledger.run_id import run_id
from cron_tasks.runs.outcomes import Attempt, Result, conclude
from cron_tasks.settings import Settings


def conclude_skipped(
    job: Job, ticks: Iterable[float], now: float, settings: Settings
) -> list[Outcome]:
    """Return the ends of ticks (seconds) that somebody had skipped."""
    result, attempt = Result("skipped", "by_hand"), Attempt(0, None, now, None)
    runs = [Run(job, run_id(job.id, tick), tick, 0) for tick in ticks]
    return [
        conclude(run, Open(run.run_id, "p|1||", "", ""), result, attempt, settings, 0.0)
        for run in runs
    ]
