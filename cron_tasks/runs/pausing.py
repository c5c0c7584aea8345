"""Manual commands for jobs: pause, resume, and skip a tick."""

from collections.abc import Iterable
from contextlib import suppress

from redis import Redis

from cron_tasks.errors import CronTasksError, UnknownJob
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry import skips
from cron_tasks.registry.registry import RegisteredJob, Registry
from cron_tasks.runs.overtaken import list_overtaken
from cron_tasks.settings import Settings
from cron_tasks.text.display import printable

#: The most characters of a reason. A longer one is cut.
MAX_REASON = 200


def clean_reason(text: str) -> str:
    """Return the reason of a pause in the form in which it is stored and shown."""
    return printable(text.strip(), MAX_REASON)


def pause_job(redis: Redis, settings: Settings, job_id: str, reason: str, now: float) -> None:
    """Pause a job until it is resumed. Raises UnknownJob."""
    _pause(redis, settings, job_id, reason, now)
    Ledger(redis, settings).look_after({job_id}, now)


def pause_jobs(
    redis: Redis, settings: Settings, job_ids: Iterable[str], reason: str, now: float
) -> list[str]:
    """Pause jobs until they are resumed. Return their ids. A job that does not exist is left out.

    Each job takes a few round trips, and their open runs are looked up once for all.
    """
    paused = []
    for job_id in job_ids:
        with suppress(UnknownJob):
            _pause(redis, settings, job_id, reason, now)
            paused.append(job_id)
    Ledger(redis, settings).look_after(set(paused), now)
    return paused


def _pause(redis: Redis, settings: Settings, job_id: str, reason: str, now: float) -> None:
    overtaken = Registry(redis, settings.audit_days).pause(job_id, reason, now)
    list_overtaken(Ledger(redis, settings), settings, overtaken, "paused", now)


def skip_next(redis: Redis, settings: Settings, job_id: str, now: float) -> float:
    """Skip the next tick of a job, and return it in seconds since the epoch.

    Raises UnknownJob, and CronTasksError if there is no tick to skip.
    """
    found = _read_job(redis, job_id, now)
    tick = found.next
    if not found.job.enabled:
        enable = "Set `enabled: true` in your REST service"
        raise CronTasksError(f"Job {job_id} is disabled. {enable}")
    if found.paused:
        resume = f"Resume it first: `cron-tasks jobs resume {job_id}`"
        raise CronTasksError(
            f"Job {job_id} is paused ({printable(found.paused.reason, 60)}). {resume}"
        )
    if tick is None:
        raise CronTasksError(f"Job {job_id} has no next tick to skip")
    if not skips.add_skip(redis, job_id, tick, now, bool(settings.rest_report_path)):
        raise CronTasksError(f"{RunId(job_id, tick)} fired just now, so it was not skipped")
    return tick


def undo_skip(redis: Redis, settings: Settings, job_id: str, now: float) -> float:
    """Undo the nearest skip of a job, and return its tick in seconds since the epoch.

    Raises UnknownJob, and CronTasksError if no tick is to be skipped.
    """
    coming = _read_job(redis, job_id, now).coming_skips(now)
    if not coming:
        raise CronTasksError(f"Job {job_id} has no upcoming skip to undo")
    if not skips.remove_skip(redis, job_id, coming[0], now, bool(settings.rest_report_path)):
        raise CronTasksError(
            f"{RunId(job_id, coming[0])} was skipped just now. It is too late to undo that"
        )
    return coming[0]


def _read_job(redis: Redis, job_id: str, now: float) -> RegisteredJob:
    registry = Registry(redis)
    registry.get_job(job_id)
    skips.adopt_skips(redis, job_id, now)
    (found,) = registry.read_jobs([job_id])
    return found
