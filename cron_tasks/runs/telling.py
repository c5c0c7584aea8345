"""Decide which notifications a run sends, and which are suppressed. Pure.

A chat to which a retry was promised is notified about the end of the run: even if `notify.on` does
not include it, however late it is, and even if the job has been removed by then.
"""

from collections.abc import Iterator
from typing import Any

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.policies import Notify
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import SUPPRESSED, Message, OpenRun
from cron_tasks.runs.notifications import write_notification
from cron_tasks.runs.reasons import explain_reason
from cron_tasks.runs.result import Result
from cron_tasks.settings import Settings

_EVENTS = {"ok": "success", "failed": "failure"}


def write_retry_messages(
    run: Run, tick: OpenRun, result: Result, now: float, settings: Settings
) -> tuple[Message, ...]:
    """Write the notifications of an attempt that failed and will be retried."""
    if "retry" not in run.job.notify.on or is_too_old(run.job, run.scheduled_for, now):
        return ()
    return (write_notification(run, "retry", result.error, now, settings, is_rerun=tick.is_rerun),)


def describe_recipient(job: Job, settings: Settings) -> dict[str, Any]:
    """Return the recipient of a promised retry, in its stored form (`OpenRun.announced`)."""
    return {
        "queue": job.notify.queue or settings.notify_queue,
        "chat_id": job.chat_id if job.chat_id is not None else settings.chat_id,
        "job_name": job.name,
    }


def write_end_messages(
    run: Run, tick: OpenRun, result: Result, now: float, settings: Settings
) -> tuple[tuple[Message, ...], str]:
    """Write the notifications of the end of a run. Return also why they were suppressed, or ""."""
    promised = tick.trace != "" and tick.announced is not None
    event = _EVENTS.get(result.status, result.status)
    messages = tuple(_write_messages(run, tick, event, result, now, settings, promised))
    if not messages or promised or not is_too_old(run.job, run.scheduled_for, now):
        return messages, ""
    on = run.job.notify.on
    counts = event == "failure" or (event == "success" and "recovered" in on)
    # Nobody needs a success that might only have been a recovery.
    return (SUPPRESSED if counts else ()), "too old" if event in on else ""


def write_messages_without_job(
    tick: OpenRun, result: Result, attempts: int, now: float, settings: Settings
) -> tuple[Message, ...]:
    """Write the notifications of the end of a run whose job was removed or cannot be read."""
    to = tick.announced
    if to is None:
        return ()
    job_id, scheduled_for = tick.run_id.job_id, tick.run_id.scheduled_for
    # Only the data that a notification shows is known of the job.
    notify = Notify(queue=to["queue"])
    job = Job.model_construct(id=job_id, name=to["job_name"], chat_id=to["chat_id"], notify=notify)
    run = Run(job, tick.run_id, scheduled_for, attempts)
    event = _EVENTS.get(result.status, result.status)
    return tuple(
        _write_messages(run, tick, event, result, now, settings, promised=True, zone="UTC")
    )


def is_too_old(job: Job, when: float, now: float) -> bool:
    """Return whether a notification at `now` of the fire time `when` is too late to be useful."""
    stale = job.notify.stale_after
    return stale is not None and now - when > stale


def _write_messages(
    run: Run,
    tick: OpenRun,
    event: str,
    result: Result,
    now: float,
    settings: Settings,
    promised: bool,
    zone: str = "",
) -> Iterator[Message]:
    """Yield the notifications of an event that the job wants, or that were promised."""
    wanted = run.job.notify.on
    if event in wanted or promised:
        collapse = run.job.notify.collapse if event == "failure" and not promised else 1
        condition = str(collapse) if collapse > 1 else ""
        error = None if event == "success" else _error_text(event, result, run.attempt, tick)
        yield write_notification(run, event, error, now, settings, condition, tick.is_rerun, zone)
    if event == "success" and "recovered" in wanted:
        yield write_notification(
            run, "recovered", None, now, settings, "recovered", tick.is_rerun, zone
        )


def _error_text(event: str, result: Result, attempts: int, tick: OpenRun) -> str:
    if event == "failure":
        return result.error or result.status
    about = f" ({result.other})" if result.other else ""
    why = explain_reason(result.reason, attempts, len(tick.failures))
    return f"{result.status}: {why}{about}"
