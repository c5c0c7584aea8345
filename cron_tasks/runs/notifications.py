"""The notification that the bot reads (docs/contract.md, section 4). Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from string import Template
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import Message
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings
from cron_tasks.tracing.tracer import find_tracer

#: The text of each event in a chat, with the name of the job, the time, and the error.
_TEXTS = {
    "success": "Scheduled task: {name}",
    "recovered": "✅ {name} recovered ({time})",
    "failure": "❌ {name} failed ({time}): {error}",
    "retry": "⚠️ {name} failed ({time}) and will be retried: {error}",
    "skipped": "⏭️ {name} was skipped ({time}){error}",
    "missed": "⚠️ {name} was missed ({time}){error}",
    "late": "⏰ {name} is late ({time}){error}",
}
#: Characters that stand for times in a template: the fire time, the time of the end, and the fire
#: time in the zone of a job, which no template has. Another character separates two templates.
_MOMENT, _CREATED, _OTHER = "\x01", "\x02", "\x03"
_MARK, _CREATED_MARK, _END = b"\x01", b"\x02", b"\x00"
#: Placeholders for the id and the name of a job, in the common part of all default templates.
_ID, _NAME = b"\x04", b"\x05"
#: A time with which a template is checked against the notification that it stands for.
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

    It goes to the queue and the chat of the job, or by default to those of the settings. Its text
    shows times in the job's zone, or in `zone`. A rerun ends a second time, so its notification has
    another id. Without an `error` the status is success. With traces on, it has the `traceparent`
    of the run.
    """
    payload = _write_payload(run, event, error, now, settings, is_rerun, zone)
    if (tracer := find_tracer(settings)) is not None:
        payload = add_traceparent(payload, tracer.traceparent_of(run.run_id))
    return Message(run.job.notify.queue or settings.notify_queue, payload, condition)


def add_traceparent(payload: bytes, traceparent: str) -> bytes:
    """Return a notification with `traceparent` as its last key."""
    return b'%b,"traceparent":"%b"}' % (payload[:-1], traceparent.encode())


def _write_payload(
    run: Run,
    event: str,
    error: str | None,
    now: float,
    settings: Settings,
    is_rerun: bool = False,
    zone: str = "",
) -> bytes:
    status = "error" if error is not None else "success"
    created_at = _format_created_at(int(now * 1000))
    identity = f"{run.run_id}/{event}"
    if event == "retry":
        # Each failed attempt is a separate event.
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
    return orjson.dumps(body)


def make_default_template(document: Mapping[str, Any], default_chat: int | str | None) -> bytes:
    """Return the common part of the success notifications of a job, for `fill_templates`.

    `document` has the fields that differ from the defaults of a job. It is not parsed completely,
    because that takes several times as long. The notifications have the default text, and are of a
    first attempt. Returns b"" for a job with notification settings, for a document that cannot be
    read, and if the times cannot simply be inserted into the text.
    """
    job_id, name = document.get("id"), document.get("name")
    if "notify" in document or not (isinstance(job_id, str) and isinstance(name, str)):
        return b""
    chat_id = document.get("chat_id", default_chat)
    job_id_text, name_text = orjson.dumps(job_id)[1:-1], orjson.dumps(name)[1:-1]
    if b"\\u000" in job_id_text or b"\\u000" in name_text:
        return b""
    return _make_shape(chat_id).replace(_ID, job_id_text).replace(_NAME, name_text)


@lru_cache(maxsize=64, typed=True)
def _make_shape(chat_id: int | str | None) -> bytes:
    """Return the common part of all default templates of a chat, b"" for a chat with marks."""
    name = _NAME.decode()
    body = _write_template(_ID.decode(), name, chat_id, _TEXTS["success"].format(name=name))
    # Three ids and fire times, two names and the time of the end.
    if body.count(b"\\u000") != 9:
        return b""
    marked = _mark_times(body)
    return marked.replace(b"\\u0004", _ID).replace(b"\\u0005", _NAME)


def make_template(job: Job, settings: Settings) -> bytes:
    """Return the same for a job with a custom text."""
    times = {"run_id": f"{job.id}@{_MOMENT}", "scheduled_for": _MOMENT, "created_at": _CREATED}
    more = {"time": _OTHER, "status": "success", "error": ""}
    run = Run(job, RunId(job.id, _PROBE), _PROBE, 1)
    try:
        text = Template(job.notify.template or "").substitute(run.values | times | more)
    except (KeyError, ValueError):
        return b""
    body = _write_template(job.id, job.name, _choose_chat(job, settings), text)
    template = _mark_times(body)
    (filled,) = fill_templates([template], _PROBE, _PROBE)
    same = filled == _write_payload(run, "success", None, _PROBE, settings)
    return template if same else b""


def _write_template(job_id: str, name: str, chat_id: int | str | None, text: str) -> bytes:
    run_id = f"{job_id}@{_MOMENT}"
    body = {
        "chat_id": chat_id,
        "response": text,
        "status": "success",
        "id": f"{run_id}/success",
        "job_id": job_id,
        "job_name": name,
        "run_id": run_id,
        "event": "success",
        "scheduled_for": _MOMENT,
        "created_at": _CREATED,
        "attempt": 1,
    }
    return orjson.dumps(body)


def _mark_times(body: bytes) -> bytes:
    """Replace the escapes in JSON by single characters, which do not occur in JSON."""
    return body.replace(b"\\u0001", _MARK).replace(b"\\u0002", _CREATED_MARK)


def fill_templates(templates: Sequence[bytes], fire_time: float, now: float) -> list[bytes]:
    """Return the notifications of runs of one fire time that ended at `now`.

    All of them are filled in at once, which takes a tenth of the time of filling in one after the
    other.
    """
    joined = _END.join(templates).replace(_MARK, iso_utc(fire_time).encode())
    created_at = _format_created_at(int(now * 1000)).encode()
    return joined.replace(_CREATED_MARK, created_at).split(_END)


def _choose_chat(job: Job, settings: Settings) -> int | str | None:
    return job.chat_id if job.chat_id is not None else settings.chat_id


@lru_cache(maxsize=16)
def _format_created_at(milliseconds: int) -> str:
    """Format a time. The result is cached, because many runs of a storm end in the same
    millisecond."""
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
        # Checked at sync, but the document may be older or newer than this program.
        text = _write_text(run, event, error, now, zone)
        return f"{text} (without its template, which failed: {wrong})"


def _write_text(run: Run, event: str, error: str | None, now: float, zone: str) -> str:
    if event == "success":
        # The most common event by far, and the only one without a time.
        return _TEXTS[event].format(name=run.job.name)
    if event in ("skipped", "missed", "late"):
        # The error begins with the event, which the text has already: "skipped: the job was …".
        error = (error or "").removeprefix(event)
    time = _format_fire_time(run.scheduled_for, now, zone or run.job.timezone)
    return _TEXTS[event].format(name=run.job.name, time=time, error=error)


def _format_fire_time(when: float, now: float, zone: str) -> str:
    """Return a fire time for a chat: the time alone if it is today, otherwise with the date."""
    fire_time, today = (datetime.fromtimestamp(each, ZoneInfo(zone)) for each in (when, now))
    return (
        f"{fire_time:%H:%M}" if fire_time.date() == today.date() else f"{fire_time:%Y-%m-%d %H:%M}"
    )
