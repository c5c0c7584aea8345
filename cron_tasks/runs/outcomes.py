"""The end of an attempt: its record in the ledger, and the notifications for the bot. Pure."""

from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

import orjson

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.counting import count_end
from cron_tasks.ledger.minutes import OUTGROWN, Brief, make_brief, write_rest
from cron_tasks.ledger.records import SUPPRESSED, Message, OpenRun, Outcome, Status, split_reason
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.notifications import write_notification
from cron_tasks.runs.pings import write_pings
from cron_tasks.runs.reasons import explain_reason
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.runs.telling import (
    describe_recipient,
    is_too_old,
    write_end_messages,
    write_messages_without_job,
    write_retry_messages,
)
from cron_tasks.schedules.catchup import Missed, next_fire_time
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings


def conclude(
    run: Run, tick: OpenRun, result: Result, by: Attempt, settings: Settings, chance: float
) -> Outcome:
    """Conclude an attempt: decide on a retry, and write the record and the notifications.

    `chance`, from 0 to 1, is the jitter of the wait before a retry.
    """
    retry, now = run.job.retry, by.finished_at
    if run.attempt != by.number:
        run = replace(run, attempt=by.number)
    if result.status == "failed" and not result.final and by.number < retry.max_attempts:
        wait = max(
            retry.pause_after(by.number, chance), _cap_retry_after(run.job, result.retry_after, now)
        )
        messages = write_retry_messages(run, tick, result, now, settings)
        attempt = _describe_attempt(result, by)
        if messages:
            attempt["announced"] = describe_recipient(run.job, settings)
        trace = orjson.dumps([*tick.failures, attempt])
        otherwise = partial(_end_unretried, run, tick, result, by, settings)
        counts = _count("retry", None, tick, by, run.job.action.type)
        return Outcome(
            *(tick.run_id, run.job.id, tick.state, trace, messages),
            *("retry", now + wait, otherwise, counts),
        )
    messages, untold = write_end_messages(run, tick, result, now, settings)
    line = write_record(tick.run_id, result, by, trace=tick.trace, untold=untold)
    told = bool(messages) and messages is not SUPPRESSED and not messages[0].condition
    action = run.job.action.type
    counts = _count(result.status, result.reason, tick, by, action, told, untold != "")
    pings = write_pings(run.job, tick.run_id, result.status, now)
    return Outcome(
        *(tick.run_id, run.job.id, tick.state, line, messages, result.status),
        counts=counts,
        pings=pings,
        brief=_make_brief(run, tick, result, by, line) if run.job.schedule.is_quick else None,
    )


def _make_brief(run: Run, tick: OpenRun, result: Result, by: Attempt, line: bytes) -> Brief | None:
    """Return an ordinary run of a quick job for its minute. None if it has a separate record.

    A run is ordinary if it ended ok at its first attempt, or was skipped because of an earlier run.
    A manual run, or a run whose notification was suppressed, is not ordinary.
    """
    is_ok = result.status == "ok" and by.number == 1 and by.started_at is not None
    is_outgrown = result.status == "skipped" and result.reason in OUTGROWN and not tick.failures
    if tick.state.by_hand or b'"untold":' in line or not (is_ok or is_outgrown):
        return None
    started = by.started_at if is_ok else None
    return make_brief(run.scheduled_for, started, by.finished_at, _shorten(line))


def _shorten(line: bytes) -> bytes:
    """Return the part of a record after the run id, without the output."""
    record = orjson.loads(line)
    record.pop("output", None)
    return write_rest(record)


def _count(
    outcome: str,
    reason: str | None,
    tick: OpenRun,
    by: Attempt,
    action: str,
    told: bool = False,
    suppressed: bool = False,
) -> str:
    """Return the counter additions for the end of an attempt (ledger/counting.py).

    A manual run has no lag, because it has no fire time.
    """
    state, started, finished = tick.state, by.started_at, by.finished_at
    lag = duration = notified = None
    if not state.by_hand:
        due = tick.run_id.scheduled_for
        if started is not None and state.attempt == 1:
            lag = int((started - due) * 1000)
        if told:
            notified = int((finished - due) * 1000)
    if started is not None:
        duration = int((finished - started) * 1000)
    attempted = by.number == state.attempt
    # This is called for each run of a storm. Keyword arguments would cost more than the function.
    return count_end(
        outcome, reason, action, lag, duration, notified, attempted, state.is_manual, suppressed
    )


def _end_unretried(
    run: Run, tick: OpenRun, result: Result, by: Attempt, settings: Settings, why: str
) -> Outcome:
    """Conclude a failed attempt whose retry is not wanted, for a cancel reason."""
    reason, other = split_reason(why)
    if reason == "removed":
        end = replace(result, status="skipped", reason=reason)
        return conclude_without_job(tick, end, by, settings)
    status: Status = "failed" if reason == "paused" else "skipped"
    end = replace(result, status=status, reason=reason, other=other, final=True)
    return conclude(run, tick, end, by, settings, 0.0)


def _cap_retry_after(job: Job, retry_after: float, now: float) -> float:
    """Return the seconds for which the Retry-After of a service delays the next attempt.

    A service must not silence a job: the delay is at most `retry.max_backoff`, and ends with the
    next fire time of the job.
    """
    if not retry_after:
        return 0.0
    following = next_fire_time(job.schedule, now)
    return min(retry_after, job.retry.max_backoff, (following or inf) - now)


def conclude_without_job(tick: OpenRun, result: Result, by: Attempt, settings: Settings) -> Outcome:
    """Conclude an attempt whose job was removed or cannot be read. There is no retry.

    Only a chat to which a retry was promised is notified.
    """
    messages = write_messages_without_job(tick, result, by.number, by.finished_at, settings)
    line = write_record(tick.run_id, result, by, trace=tick.trace)
    counts = _count(result.status, result.reason, tick, by, "unknown")
    return Outcome(
        tick.run_id, tick.run_id.job_id, tick.state, line, messages, result.status, counts=counts
    )


def count_earlier_attempts(tick: OpenRun, now: float) -> Attempt:
    """Return the number of attempts of a run that ends before its next one."""
    return Attempt(tick.attempt - 1, None, now, None)


def give_up_retry(tick: OpenRun, reason: str) -> Result:
    """Return the end of a run without its next attempt: failed if one was made, otherwise
    skipped."""
    if tick.attempt == 1:
        return Result("skipped", reason)
    failures = tick.failures
    last = failures[-1]["error"] if failures else "its worker died"
    return Result("failed", reason, error=last, final=True)


def record_missed(
    job: Job, missed: Missed, now: float, settings: Settings
) -> tuple[bytes, Message | None]:
    """Return the record of missed fire times, and the notification if the job wants one."""
    first = RunId(job.id, missed.first)
    run = Run(job, first, missed.first, 0)
    wanted = "missed" in job.notify.on
    late = wanted and is_too_old(job, missed.last, now)
    result, by = Result("missed", missed.reason), Attempt(0, None, now, None)
    line = write_record(first, result, by, missed.last, untold="too old" if late else "")
    if late or not wanted:
        return line, None
    error = f"missed until {iso_utc(missed.last)}: {explain_reason(missed.reason)}"
    return line, write_notification(run, "missed", error, now, settings)


def _describe_attempt(result: Result, by: Attempt) -> dict[str, Any]:
    return {
        "attempt": by.number,
        "started_at": by.started_at,
        "finished_at": by.finished_at,
        "worker": by.worker,
        "error": result.error,
    }


def _read_attempts(trace: str) -> list[dict[str, Any]]:
    """Parse failed attempts, without the data for notifying about the end."""
    own = "announced"
    return [{k: v for k, v in each.items() if k != own} for each in orjson.loads(trace)]


def write_record(
    run_id: RunId,
    result: Result,
    by: Attempt,
    until: float | None = None,
    trace: str = "",
    untold: str = "",
) -> bytes:
    """Write one line of a job's history, as JSON.

    With `until` (seconds since the epoch), the line stands for all fire times from that of `run_id`
    up to then. `trace` is the earlier failed attempts as JSON, `untold` why the notification was
    suppressed. A line of a skipped or failed run has `tried`, the number of attempts that had
    failed before.
    """
    line: dict[str, Any] = {
        "run_id": run_id,
        "scheduled_for": iso_utc(run_id.scheduled_for),
        "status": result.status,
        "reason": result.reason,
        **_describe_attempt(result, by),
    }
    if result.output:
        line["output"] = result.output
    if result.other:
        line["other"] = result.other
    if untold:
        line["untold"] = untold
    if until is not None:
        line["until"] = iso_utc(until)
    before = _read_attempts(trace) if trace else []
    if before:
        line["attempts"] = before
    if result.status in ("skipped", "failed"):
        line["tried"] = len(before)
    return orjson.dumps(line)
