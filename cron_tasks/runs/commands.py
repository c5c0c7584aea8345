"""What people ask of runs: one now, one again, one no more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from redis import Redis

from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.ledger import PATIENCE, Ledger, open_tick
from cron_tasks.ledger.run_id import parse_run_id, run_id
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.runs.overdue import decide
from cron_tasks.settings import Settings
from cron_tasks.store import names
from cron_tasks.text.display import short_repr

CANCELLED = "cancelled"


def open_by_hand(ledger: Ledger, job: Job, now: float) -> str:
    """Open a run of the job at `now`, and return its run id.

    A disabled or paused job runs, too: that makes a job possible which only people start. The run
    of a tick is never taken, so the time is a millisecond later where the job has a tick at `now`.
    """
    at = datetime.fromtimestamp(round(now, 3), UTC)
    while job.schedule.latest(at) == at:
        at += timedelta(milliseconds=1)
    asked_for = run_id(job.id, at.timestamp())
    ledger.open([asked_for], now + PATIENCE)
    return asked_for


def named(text: str) -> tuple[str, str, float]:
    """The run id that a person gave, in its own spelling, with job id and seconds.

    Raises RunUnfit.
    """
    if not (parts := parse_run_id(text)):
        raise RunUnfit(f"{short_repr(text)} is not a run ID. Example: 7@2026-11-23T09:00:00Z")
    return run_id(*parts), *parts


def unknown(run_id: str) -> str:
    reasons = "It may have expired, or is not due yet"
    return f"Run {run_id} was not found. {reasons}. Try `cron-tasks why`"


def reopen(redis: Redis, ledger: Ledger, text: str, now: float) -> tuple[str, Job]:
    """Open a run that ended as failed, skipped or missed again; its run id and its job.

    Raises RunUnfit, UnknownJob.
    """
    asked_for, job_id, when = named(text)
    job = Registry(redis).job(job_id)
    ended = queries.find(redis, asked_for)
    if not open_tick(redis, asked_for):
        if ended is None:
            raise RunUnfit(unknown(asked_for))
        if ended["status"] == "ok":
            raise RunUnfit(
                f"Run {asked_for} ended ok. Only failed, skipped or missed runs can be retried"
            )
        if not _accounted_for(redis, job_id, when, ended):
            raise RunUnfit(
                f"Run {asked_for} is too old to be retried: only counts are kept of runs that old. "
                f"Run the job now with `cron-tasks jobs run {job_id}`"
            )
        at = datetime.fromtimestamp(when, UTC)
        if "until" in ended and job.schedule.latest(at) != at:
            raise RunUnfit(f"Job {job_id} has no tick at that time. See `cron-tasks next {job_id}`")
        if ledger.open([asked_for], now + PATIENCE, again=True):
            return asked_for, job
    raise RunUnfit(f"Run {asked_for} has not ended yet")


def _accounted_for(redis: Redis, job_id: str, when: float, ended: queries.Shape) -> bool:
    """Whether what became of a tick is kept by itself, so that another end can take its place."""
    return "until" in ended or redis.zcount(names.ACCOUNT_PREFIX + job_id, when, when) > 0


def cancel(redis: Redis, ledger: Ledger, text: str, now: float, settings: Settings) -> bool:
    """End a run that waits, or tell one that is going to end; whether it has ended.

    Raises RunUnfit.
    """
    asked_for, _, _ = named(text)
    why = f"{CANCELLED}|"
    while tick := open_tick(redis, asked_for):
        if tick.running:
            if ledger.stop([asked_for], why):
                return False
        elif ledger.finish(now, decide([replace(tick, unwanted=why)], now, settings).close):
            return True
    ended = queries.find(redis, asked_for)
    over = ended and f"Run {asked_for} has already ended with status {ended['status']}"
    raise RunUnfit(over or unknown(asked_for))
