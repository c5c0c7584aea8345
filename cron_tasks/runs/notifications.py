"""The message that the bot reads (contract, section 4). Pure."""

from datetime import UTC, datetime
from functools import lru_cache
from string import Template

import orjson

from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import Message
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings

_ENDINGS = {
    "success": "",
    "recovered": " recovered",
    "failure": " failed: {}",
    "retry": " failed and will be tried again: {}",
    "skipped": " was {}",
    "missed": " was {}",
}


def write_notification(
    run: Run,
    event: str,
    error: str | None,
    now: float,
    settings: Settings,
    only: str = "",
    repeated: bool = False,
) -> Message:
    """The message of `event` of a run, for the job's queue and recipient, else the settings'.

    A run that is `repeated` by hand tells its end again: that message has an id of its own.
    """
    job = run.job
    status = "error" if error is not None else "success"
    created_at = _format_created_at(int(now * 1000))
    identity = f"{run.run_id}/{event}"
    if event == "retry":
        # Each attempt that failed is an event of its own.
        identity += f"/{run.attempt}"
    if repeated:
        identity += f"/{created_at}"
    body = {
        "chat_id": job.chat_id if job.chat_id is not None else settings.chat_id,
        "response": _write_response(run, status, event, error, created_at),
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
    return Message(job.notify.queue or settings.notify_queue, orjson.dumps(body), only)


@lru_cache(maxsize=16)
def _format_created_at(milliseconds: int) -> str:
    """Kept, since many runs of a storm end in the same millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_response(run: Run, status: str, event: str, error: str | None, created_at: str) -> str:
    plain = f"Scheduled task: {run.job.name}" + _ENDINGS[event].format(error)
    template = run.job.notify.template
    if template is None:
        return plain
    more = {"created_at": created_at, "status": status, "error": error or ""}
    try:
        return Template(template).substitute(run.values | more)
    except (KeyError, ValueError) as wrong:
        # Checked at sync; but a document may be older or newer than this program.
        return f"{plain} (without its template, which failed: {wrong})"
