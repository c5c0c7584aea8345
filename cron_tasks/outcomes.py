"""How a run ends, in the words of the ledger and of the bot. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from cron_tasks.actions import Run
from cron_tasks.ledger import Message, Outcome
from cron_tasks.notifications import notification
from cron_tasks.settings import Settings
from cron_tasks.ticks import iso, parse_run_id

_EVENTS = {"ok": "success", "failed": "failure"}


@dataclass(frozen=True, slots=True)
class Result:
    """Status ok, failed, skipped or missed; the reason for the last two, the error of a failure."""

    status: str
    reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """When an attempt began and ended (seconds since the epoch), and who made it."""

    number: int
    started_at: float | None
    finished_at: float
    worker: str | None


def conclude(run: Run, state: str, result: Result, by: Attempt, settings: Settings) -> Outcome:
    """The outcome of a run that was in `state`: its record and the notifications it asks for."""
    messages: Sequence[Message] = ()
    event = _EVENTS.get(result.status)
    if event is not None and event in run.job.notify.on:
        queue, chat_id = settings.notify_queue, settings.chat_id
        messages = [notification(run, event, result.error, by.finished_at, queue, chat_id)]
    return Outcome(run.run_id, run.job.id, state, record(run.run_id, result, by), messages)


def record(run_id: str, result: Result, by: Attempt, until: float | None = None) -> bytes:
    """One line of a job's history; with `until` it stands for all ticks from its own to that."""
    _, scheduled_for = parse_run_id(run_id) or ("", 0.0)
    line = {
        "run_id": run_id,
        "scheduled_for": iso(scheduled_for),
        "status": result.status,
        "reason": result.reason,
        "attempt": by.number,
        "started_at": by.started_at,
        "finished_at": by.finished_at,
        "worker": by.worker,
        "error": result.error,
    }
    if until is not None:
        line["until"] = iso(until)
    return orjson.dumps(line)
