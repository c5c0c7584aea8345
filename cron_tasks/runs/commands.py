"""Manual commands for runs: start, retry and cancel."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from redis import Redis

from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.ledger import PATIENCE, Ledger
from cron_tasks.ledger.open_runs import read_open_run
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.runs.overdue import decide_overdue
from cron_tasks.runs.shapes import Shape
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.text.display import short_repr

CANCELLED = "cancelled"


def open_by_hand(ledger: Ledger, job: Job, now: float) -> RunId:
    """Open a run of the job at `now` (seconds since the epoch), and return its run id.

    A disabled or paused job runs, too, so that a job may be for manual runs only. The run id of a
    scheduled run is never taken: if `now` is a fire time, the run is a millisecond later.
    """
    at = datetime.fromtimestamp(round(now, 3), UTC)
    while job.schedule.latest(at) == at:
        at += timedelta(milliseconds=1)
    asked_for = RunId(job.id, at.timestamp())
    ledger.open([asked_for], now + PATIENCE)
    return asked_for


def read_run_id(text: str) -> RunId:
    """Parse a run id from a person, and return it in the spelling of the ledger.

    Raises RunUnfit.
    """
    if not (run_id := RunId.parse(text)):
        raise RunUnfit(f"{short_repr(text)} is not a run ID. Example: 7@2026-11-23T09:00:00Z")
    return RunId(run_id.job_id, run_id.scheduled_for)


def not_found(run_id: str) -> str:
    """Return a sentence for a run that is not known."""
    reasons = "It may have expired, or is not due yet"
    return f"Run {run_id} was not found. {reasons}. Try `cron-tasks why`"


def reopen(redis: Redis, ledger: Ledger, text: str, now: float) -> tuple[RunId, Job]:
    """Reopen a run that failed, was skipped or was missed. Return its run id and its job.

    Raises RunUnfit, UnknownJob.
    """
    run_id = read_run_id(text)
    job = Registry(redis).get_job(run_id.job_id)
    ended = queries.find_end(redis, run_id)
    if not read_open_run(redis, run_id):
        if ended is None:
            raise RunUnfit(not_found(run_id))
        if ended["status"] == "ok":
            raise RunUnfit(
                f"Run {run_id} ended ok. Only failed, skipped or missed runs can be retried"
            )
        if not _has_own_record(redis, run_id, ended):
            raise RunUnfit(
                f"Run {run_id} is too old to be retried: only counts are kept of runs that old. "
                f"Run the job now with `cron-tasks jobs run {job.id}`"
            )
        at = datetime.fromtimestamp(run_id.scheduled_for, UTC)
        if "until" in ended and job.schedule.latest(at) != at:
            raise RunUnfit(f"Job {job.id} has no tick at that time. See `cron-tasks next {job.id}`")
        if ledger.open([run_id], now + PATIENCE, again=True):
            return run_id, job
    raise RunUnfit(f"Run {run_id} has not ended yet")


def _has_own_record(redis: Redis, run_id: RunId, ended: Shape) -> bool:
    """Return whether the end of a run has a separate record, which another end can replace."""
    account, when = keys.ACCOUNT_PREFIX + run_id.job_id, run_id.scheduled_for
    return "until" in ended or redis.zcount(account, when, when) > 0


def cancel(redis: Redis, ledger: Ledger, text: str, now: float, settings: Settings) -> bool:
    """End a run that waits, or ask a run in flight to end. Return whether it has ended.

    Raises RunUnfit.
    """
    run_id = read_run_id(text)
    why = f"{CANCELLED}|"
    # A run in a batch has no separate state that could end.
    ledger.take_out([run_id])
    while tick := read_open_run(redis, run_id):
        if tick.state.in_flight:
            if ledger.stop([run_id], why):
                return False
        elif ledger.finish(now, decide_overdue([replace(tick, unwanted=why)], now, settings).close):
            return True
    ended = queries.find_end(redis, run_id)
    over = ended and f"Run {run_id} has already ended with status {ended['status']}"
    raise RunUnfit(over or not_found(run_id))
