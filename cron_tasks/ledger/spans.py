"""The spans of the ledger's steps: a tick fires, attempts end, a run ends. Pure.

The span of a run lasts from its fire time to its end, and is the root of the trace. Its attempts
are its children. So is the span `fire`, which lasts until the run was opened. All ids are derived
from the run id, so attempts join the trace whichever process starts or ends them.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from cron_tasks.ledger.records import Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag
from cron_tasks.text.trace_ids import Parent, span_id_of
from cron_tasks.tracing.spans import Span, Value, make_child

#: The error status of a span that is not ok. Other statuses of runs are not errors.
_FAILED = ("failed", "missed")


def attempt_of(root: Parent, run_id: str, state: str) -> Parent:
    """Return the ids of the attempt made in `state`, which contains its claim."""
    return root._replace(span_id=span_id_of(f"{run_id} {state}"))


def span_of_fire(root: Parent, run_id: RunId, now: float) -> Span:
    """Return the span of a fire time whose run was opened `now`."""
    attributes = {"cron_tasks.job.id": run_id.job_id, "cron_tasks.run.id": run_id}
    start = min(run_id.scheduled_for, now)
    return Span("fire", make_child(root), root.span_id, start, now, attributes)


def spans_of_end(root: Parent, outcome: Outcome) -> Iterator[Span]:
    """Yield the spans that an outcome ends: of its attempt if one was made, and of the run.

    A rerun is another attempt in the trace of its run.
    """
    record = orjson.loads(outcome.record)
    is_over = outcome.status != "retry"
    end = record if is_over else record[-1] | {"status": "failed"}
    # The start of an attempt is unknown if its worker died.
    is_lost = outcome.state.in_flight and end["attempt"] == outcome.state.attempt
    if end["started_at"] is not None or is_lost:
        yield _span_of_attempt(root, outcome, end)
    if is_over and not _is_rerun(outcome):
        start = min(outcome.run_id.scheduled_for, end["finished_at"])
        yield _span_of_run(root, outcome.run_id, start, end)


def _span_of_attempt(root: Parent, outcome: Outcome, end: dict[str, Any]) -> Span:
    own = attempt_of(root, outcome.run_id, outcome.state)
    start = end["started_at"] or end["finished_at"]
    attributes = _describe_end(outcome.run_id, end) | {"cron_tasks.attempt": end["attempt"]}
    if _is_rerun(outcome):
        attributes["cron_tasks.rerun"] = True
    if end.get("worker"):
        attributes["cron_tasks.worker"] = end["worker"]
    error = _error_of(end)
    return Span("attempt", own, root.span_id, start, end["finished_at"], attributes, error)


def _span_of_run(root: Parent, run_id: RunId, start: float, end: dict[str, Any]) -> Span:
    attributes = _describe_end(run_id, end) | {"cron_tasks.attempts": end["attempt"]}
    return Span("run", root, 0, start, end["finished_at"], attributes, _error_of(end))


def _is_rerun(outcome: Outcome) -> bool:
    return Flag.RERUN in outcome.state.flags


def span_of_missed(root: Parent, end: dict[str, Any]) -> Span:
    """Return the span of a fire time that was missed. `end` is its record."""
    run_id = RunId.stored(end["run_id"])
    return _span_of_run(root, run_id, run_id.scheduled_for, end)


def _describe_end(run_id: RunId, end: dict[str, Any]) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        "cron_tasks.job.id": run_id.job_id,
        "cron_tasks.run.id": run_id,
        "cron_tasks.status": end["status"],
    }
    if end.get("reason"):
        attributes["cron_tasks.reason"] = end["reason"]
    if end["status"] in _FAILED:
        attributes["error.type"] = end.get("reason") or end["status"]
    return attributes


def _error_of(end: dict[str, Any]) -> str | None:
    """Return the description of the error status, or None for a run that is not an error."""
    return (end.get("error") or "") if end["status"] in _FAILED else None


def spans_of_batched(
    root: Parent, run_id: RunId, started: float, now: float, worker: str
) -> Iterator[Span]:
    """Yield the spans of a run that ended ok in a batch."""
    end = {"status": "ok", "attempt": 1, "finished_at": now}
    about = _describe_end(run_id, end) | {"cron_tasks.attempt": 1, "cron_tasks.worker": worker}
    yield Span("attempt", make_child(root), root.span_id, started, now, about)
    yield _span_of_run(root, run_id, min(run_id.scheduled_for, now), end)
