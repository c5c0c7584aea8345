"""The message that the bot reads (contract, section 4). Pure."""

from datetime import UTC, datetime
from string import Template
from zoneinfo import ZoneInfo

import orjson

from cron_tasks.actions import Run
from cron_tasks.ledger import Message
from cron_tasks.ticks import iso


def notification(
    run: Run, event: str, error: str | None, now: float, queue: str, chat_id: int | str | None
) -> Message:
    """The message of `event` (success, failure) of a run, for the job's queue and recipient.

    `queue` and `chat_id` are the defaults of a job that names none.
    """
    job = run.job
    status = "error" if error is not None else "success"
    body = {
        "chat_id": job.chat_id if job.chat_id is not None else chat_id,
        "response": _text(run, status, error, now),
        "status": status,
        "id": f"{run.run_id}/{event}",
        "job_id": job.id,
        "job_name": job.name,
        "run_id": run.run_id,
        "event": event,
        "scheduled_for": iso(run.scheduled_for),
        "created_at": iso_milliseconds(now),
        "attempt": run.attempt,
    }
    if error is not None:
        body["error"] = error
    return Message(job.notify.queue or queue, orjson.dumps(body))


def iso_milliseconds(when: float) -> str:
    moment = datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _text(run: Run, status: str, error: str | None, now: float) -> str:
    if run.job.notify.template is None:
        text = f"Scheduled task: {run.job.name}"
        return text if error is None else f"{text} failed: {error}"
    scheduled = datetime.fromtimestamp(run.scheduled_for, ZoneInfo(run.job.schedule.timezone))
    return Template(run.job.notify.template).safe_substitute(
        name=run.job.name,
        id=run.job.id,
        run_id=run.run_id,
        scheduled_for=iso(run.scheduled_for),
        created_at=iso_milliseconds(now),
        attempt=run.attempt,
        status=status,
        error=error or "",
        time=f"{scheduled:%Y-%m-%d %H:%M}",
    )
