"""The notification that the bot reads (docs/contract.md, section 4). Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from string import Template
from zoneinfo import ZoneInfo

import orjson

from cron_tasks.jobs.job import Job
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
}
#: Characters that stand for times in a template: the fire time, the time of the end, and the fire
#: time in the zone of a job, which no template has. Between two templates stands another one.
_MOMENT, _CREATED, _OTHER = "\x01", "\x02", "\x03"
_MARK, _CREATED_MARK, _END = b"\x01", b"\x02", b"\x00"
#: A time for which a template is compared with the notification that it stands for.
_PROBE = 1_800_000_000.5


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
    status = "error" if error is not None else "success"
    created_at = _format_created_at(int(now * 1000))
    identity = f"{run.run_id}/{event}"
    if event == "retry":
        # Each attempt that failed is an event of its own.
        identity += f"/{run.attempt}"
    if is_rerun:
        identity += f"/{created_at}"
    body = {
        "chat_id": _choose_chat(run.job, settings),
        "response": _write_response(run, status, event, error, now, zone),
        "status": status,
        "id": identity,
        "job_id": run.job.id,
        "job_name": run.job.name,
        "run_id": run.run_id,
        "event": event,
        "scheduled_for": iso_utc(run.scheduled_for),
        "created_at": created_at,
        "attempt": run.attempt,
    }
    if error is not None:
        body["error"] = error
    return Message(run.job.notify.queue or settings.notify_queue, orjson.dumps(body), condition)


def make_template(job: Job, settings: Settings) -> bytes:
    """Return what the notifications of success of a job have in common, for `fill_templates`.

    The text is that of a first attempt. Returns b"" if the times cannot simply be put into it.
    """
    run = Run(job, f"{job.id}@{_MOMENT}", 0.0, 1)
    values = {"run_id": run.run_id, "scheduled_for": _MOMENT, "time": _OTHER}
    more = {"created_at": _CREATED, "status": "success", "error": ""}
    text = _TEXTS["success"].format(name=job.name)
    if job.notify.template is not None:
        try:
            text = Template(job.notify.template).substitute(run.values | values | more)
        except (KeyError, ValueError):
            return b""
    body = {
        "chat_id": _choose_chat(job, settings),
        "response": text,
        "status": "success",
        "id": f"{run.run_id}/success",
        "job_id": job.id,
        "job_name": job.name,
        "run_id": run.run_id,
        "event": "success",
        "scheduled_for": _MOMENT,
        "created_at": _CREATED,
        "attempt": 1,
    }
    # JSON has no control character but in escapes, so these are free to stand for times.
    template = orjson.dumps(body).replace(b"\\u0001", _MARK).replace(b"\\u0002", _CREATED_MARK)
    probe = replace(run, run_id=f"{job.id}@{iso_utc(_PROBE)}", scheduled_for=_PROBE)
    (filled,) = fill_templates([template], _PROBE, _PROBE)
    same = filled == write_notification(probe, "success", None, _PROBE, settings).payload
    return template if same else b""


def fill_templates(templates: Sequence[bytes], fire_time: float, now: float) -> list[bytes]:
    """Return the notifications of runs of one fire time that ended at `now`.

    All of them are filled in at once, which takes a tenth of the time of one after the other.
    """
    joined = _END.join(templates).replace(_MARK, iso_utc(fire_time).encode())
    created_at = _format_created_at(int(now * 1000)).encode()
    return joined.replace(_CREATED_MARK, created_at).split(_END)


def _choose_chat(job: Job, settings: Settings) -> int | str | None:
    return job.chat_id if job.chat_id is not None else settings.chat_id


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
    if event in ("skipped", "missed"):
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
