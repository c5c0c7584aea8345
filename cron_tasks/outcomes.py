"""How an attempt ends, in the words of the ledger and of the bot. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

import orjson

from cron_tasks.actions import Run
from cron_tasks.jobs import Job
from cron_tasks.ledger_ticks import Message, Open, Outcome, Status
from cron_tasks.notifications import notification
from cron_tasks.settings import Settings
from cron_tasks.ticks import iso, next_tick, parse_run_id

#: The error of a run is told and kept up to this many characters, on one line.
ERROR_SHOWN = 500
#: What the reasons of a tick that was skipped or missed mean.
REASONS = {
    "overlap": "another run of the job was still going",
    "replaced": "a later run took its place",
    "cancelled": "somebody cancelled it",
    "paused": "the job was paused before it could start",
    "disabled": "the job was disabled before it could start",
    "removed": "the job was removed before it could start",
    "edited": "the job's schedule was changed before it could start",
    "by_hand": "somebody asked for that (`jobs skip-next`)",
    "coalesced": "several ticks had been missed, and its catch-up policy runs only the latest",
    "outside_window": "it could not start within its catch-up window",
    "no_catchup": "it could not start in time, and its catch-up policy makes up for nothing",
    "discarded": "workers discarded its message again and again: was it revoked?",
    "set_aside": "what Redis held of the job could not be read",
}
_EVENTS = {"ok": "success", "failed": "failure"}


@dataclass(slots=True)
class Result:
    """Status ok, failed, skipped or missed; the reason for the last two, the error of a failure.

    `other` is the run that was in the way. A failure that is not `final` may be tried again, at the
    earliest `retry_after` seconds from now.
    """

    status: Status
    reason: str | None = None
    error: str | None = None
    output: str | None = None
    other: str | None = None
    final: bool = False
    retry_after: float = 0.0


@dataclass(slots=True)
class Attempt:
    """When an attempt began and ended (seconds since the epoch), and who made it."""

    number: int
    started_at: float | None
    finished_at: float
    worker: str | None


def conclude(
    run: Run, tick: Open, result: Result, by: Attempt, settings: Settings, chance: float
) -> Outcome:
    """The outcome of an attempt: what is kept of it and told, or when the next one is due.

    `chance` from 0 to 1 is the jitter of the wait.
    """
    retry, now = run.job.retry, by.finished_at
    if result.status == "failed" and not result.final and by.number < retry.max_attempts:
        wait = max(retry.wait(by.number, chance), _put_off(run.job, result.retry_after, now))
        messages = tuple(_messages(run, tick, "retry", result, now, settings))
        trace = orjson.dumps([*orjson.loads(tick.trace or "[]"), _attempt(result, by)])
        otherwise = partial(_cut_short, run, tick, result, by, settings)
        retry_at = now + wait
        return Outcome(
            run.run_id, run.job.id, tick.state, trace, messages, "retry", retry_at, otherwise
        )
    event = _EVENTS.get(result.status, result.status)
    messages = tuple(_messages(run, tick, event, result, now, settings))
    stale = run.job.notify.stale_after
    if messages and stale is not None and now - run.scheduled_for > stale:
        messages, told = (), "too old"
    else:
        told = ""
    line = record(run.run_id, result, by, trace=tick.trace, untold=told)
    return Outcome(run.run_id, run.job.id, tick.state, line, messages, result.status)


def _cut_short(
    run: Run, tick: Open, result: Result, by: Attempt, settings: Settings, why: str
) -> Outcome:
    """The outcome of a failed attempt after which no other may follow, by "<reason>|<run>"."""
    reason, _, other = why.partition("|")
    if reason == "removed":
        return untold(tick, replace(result, status="skipped", reason=reason), by)
    status: Status = "failed" if reason == "paused" else "skipped"
    end = replace(result, status=status, reason=reason, other=other or None, final=True)
    return conclude(run, tick, end, by, settings, 0.0)


def _put_off(job: Job, retry_after: float, now: float) -> float:
    """Return the seconds for which a service's Retry-After puts off the next attempt.

    It may not silence a job: at most `retry.max_backoff`, and not beyond the job's next tick.
    """
    if not retry_after:
        return 0.0
    following = next_tick(job.schedule, now)
    return min(retry_after, job.retry.max_backoff, (following or inf) - now)


def untold(tick: Open, result: Result, by: Attempt) -> Outcome:
    """The outcome of an attempt whose job is gone or unreadable: nobody is told, none follows."""
    job_id, _ = parse_run_id(tick.run_id) or ("", 0.0)
    line = record(tick.run_id, result, by, trace=tick.trace)
    return Outcome(tick.run_id, job_id, tick.state, line, (), result.status)


def _messages(
    run: Run, tick: Open, event: str, result: Result, now: float, settings: Settings
) -> Iterator[Message]:
    wanted = run.job.notify.on
    error = result.error or _said(result) if event not in ("success", "recovered") else None
    if event in wanted:
        collapse = run.job.notify.collapse if event == "failure" else 1
        only = str(collapse) if collapse > 1 else ""
        yield notification(run, event, error, now, settings, only, tick.repeated)
    if event == "success" and "recovered" in wanted:
        yield notification(run, "recovered", None, now, settings, "recovered", tick.repeated)


def _said(result: Result) -> str:
    about = f" ({result.other})" if result.other else ""
    return f"{result.status}: {REASONS.get(str(result.reason), result.reason)}{about}"


def _attempt(result: Result, by: Attempt) -> dict[str, Any]:
    return {
        "attempt": by.number,
        "started_at": by.started_at,
        "finished_at": by.finished_at,
        "worker": by.worker,
        "error": result.error,
    }


def record(
    run_id: str,
    result: Result,
    by: Attempt,
    until: float | None = None,
    trace: str = "",
    untold: str = "",
) -> bytes:
    """One line of a job's history; with `until` it stands for all ticks from its own to that.

    `trace` is JSON of the failed attempts before, `untold` why nobody was told.
    """
    _, scheduled_for = parse_run_id(run_id) or ("", 0.0)
    line = {
        "run_id": run_id,
        "scheduled_for": iso(scheduled_for),
        "status": result.status,
        "reason": result.reason,
        **_attempt(result, by),
    }
    if result.output:
        line["output"] = result.output
    if result.other:
        line["other"] = result.other
    if untold:
        line["untold"] = untold
    if until is not None:
        line["until"] = iso(until)
    if trace:
        line["attempts"] = orjson.Fragment(trace)
    return orjson.dumps(line)
