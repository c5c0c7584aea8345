"""What beat passes over when it fires a job: ticks that are missed or skipped. Pure."""

from collections.abc import Iterable

from cron_tasks.actions import Run
from cron_tasks.jobs import Job
from cron_tasks.ledger_ticks import Message, Open, Outcome
from cron_tasks.notifications import notification
from cron_tasks.outcomes import REASONS, Attempt, Result, conclude, record
from cron_tasks.settings import Settings
from cron_tasks.ticks import Missed, iso, run_id


def missed(
    job: Job, stretch: Missed, now: float, settings: Settings
) -> tuple[bytes, Message | None]:
    """Return the record of missed ticks, and one message about them if the job wants it."""
    run = Run(job, run_id(job.id, stretch.first), stretch.first, 0)
    line = record(
        run.run_id, Result("missed", stretch.reason), Attempt(0, None, now, None), stretch.last
    )
    if "missed" not in job.notify.on:
        return line, None
    said = f"missed until {iso(stretch.last)}: {REASONS[stretch.reason]}"
    return line, notification(run, "missed", said, now, settings)


def skipped(job: Job, ticks: Iterable[float], now: float, settings: Settings) -> list[Outcome]:
    """Return the ends of ticks (seconds) that somebody had skipped."""
    result, by = Result("skipped", "by_hand"), Attempt(0, None, now, None)
    runs = [Run(job, run_id(job.id, tick), tick, 0) for tick in ticks]
    return [
        conclude(run, Open(run.run_id, "p|1||", "", ""), result, by, settings, 0.0) for run in runs
    ]
