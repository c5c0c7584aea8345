"""The notification that the bot reads (docs/contract.md, section 4). Pure."""

from datetime import UTC, datetime
from functools import lru_cache
from string import Template
from zoneinfo import ZoneInfo

import orjson

from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import Message
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings

#: How a chat is told of an event: the name of the job, the time, and the error.
_TEXTS = {
    "success": "Scheduled task: {name}",
    "recovered": "✅ {name} recovered ({time})",
    "failure": "❌ {name} failed ({time}): {error}",
    "retry": "⚠️ {name} failed ({time}) and will be retried: {error}",
    "skipped": "⏭️ {name} was skipped ({time}){error}",
    "missed": "⚠️ {name} was missed ({time}){error}",
    "late": "⏰ {name} is late ({time}){error}",
}


def write_notification(
    run: Run,
    event: str,
    error: str | None,
    now: float,
    settings: Settings,
    condition: str = "",
    is_rerun: bool = False,
    zone: str = "",
) -> Message:
    """Write the notification of an event of a run.

    It goes to the queue and the chat of the job, or else of the settings. Its text shows times in
    the job's zone, or in `zone`. A rerun ends once more, so its notification has an id of its own.
    Without an `error` the status is success.
    """
    job = run.job
    status = "error" if error is not None else "success"
    created_at = _format_created_at(int(now * 1000))
    identity = f"{run.run_id}/{event}"
    if event == "retry":
        # Each attempt that failed is an event of its own.
        identity += f"/{run.attempt}"
    if is_rerun:
        identity += f"/{created_at}"
    body = {
        "chat_id": job.chat_id if job.chat_id is not None else settings.chat_id,
        "response": _write_response(run, status, event, error, now, zone),
        "status": status,
        "id": identity,
        "job_id": job.id,
        "job_name": job.name,
        "run_id": run.run_id,
        "event": event,
        "scheduled_for": iso_utc(run.scheduled_for),
        "created_at": created_at,
        "attempt": run.attempt,
    }
    if error is not None:
        body["error"] = error
    return Message(job.notify.queue or settings.notify_queue, orjson.dumps(body), condition)


@lru_cache(maxsize=16)
def _format_created_at(milliseconds: int) -> str:
    """Format a time. It is kept, since many runs of a storm end in the same millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_response(
    run: Run, status: str, event: str, error: str | None, now: float, zone: str
) -> str:
    template = run.job.notify.template
    if template is None:
        return _write_text(run, event, error, now, zone)
    created_at = _format_created_at(int(now * 1000))
    more = {"created_at": created_at, "status": status, "error": error or ""}
    try:
        return Template(template).substitute(run.values | more)
    except (KeyError, ValueError) as wrong:
        # Checked at sync. But the document may be older or newer than this program.
        text = _write_text(run, event, error, now, zone)
        return f"{text} (without its template, which failed: {wrong})"


def _write_text(run: Run, event: str, error: str | None, now: float, zone: str) -> str:
    if event == "success":
        # The commonest event by far, and the only one without a time.
        return _TEXTS[event].format(name=run.job.name)
    if event in ("skipped", "missed", "late"):
        # The error begins with the event, which the text has already: "skipped: the job was …".
        error = (error or "").removeprefix(event)
    time = _format_fire_time(run.scheduled_for, now, zone or run.job.timezone)
    return _TEXTS[event].format(name=run.job.name, time=time, error=error)


def _format_fire_time(when: float, now: float, zone: str) -> str:
    """Return a fire time as a chat needs it: the time of today, or the date as well."""
    fire_time, today = (datetime.fromtimestamp(each, ZoneInfo(zone)) for each in (when, now))
    return (
        f"{fire_time:%H:%M}" if fire_time.date() == today.date() else f"{fire_time:%Y-%m-%d %H:%M}"
    )
