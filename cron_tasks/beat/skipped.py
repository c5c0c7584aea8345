"""The ends of ticks that beat skips when it fires a job. Pure."""

from collections.abc import Iterable

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import OpenRun, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.runs.outcomes import conclude
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings


def conclude_skipped(
    job: Job, ticks: Iterable[float], now: float, settings: Settings
) -> list[Outcome]:
    """Return the ends of ticks (seconds) that a person had skipped."""
    result, attempt = Result("skipped", "by_hand"), Attempt(0, None, now, None)
    ends = []
    for tick in ticks:
        run_id = RunId(job.id, tick)
        unfired = OpenRun(run_id, State(Kind.PENDING), "", "")
        ends.append(conclude(Run(job, run_id, tick, 0), unfired, result, attempt, settings, 0.0))
    return ends
