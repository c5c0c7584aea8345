"""Why a run was skipped or missed, in words. Pure."""

from collections.abc import Mapping
from typing import Any

#: What the reasons of a run that was skipped or missed mean.
REASONS = {
    "overlap": "another run of the job was still going",
    "replaced": "a later run took its place",
    "cancelled": "somebody cancelled it",
    "paused": "the job was paused",
    "disabled": "the job was disabled",
    "removed": "the job was removed",
    "edited": "the job's schedule was changed",
    "by_hand": "somebody asked for that (`jobs skip-next`)",
    "coalesced": "several ticks had been missed, and its catch-up policy runs only the latest",
    "outside_window": "it could not start within its catch-up window",
    "no_catchup": "it could not start in time, and its catch-up policy makes up for nothing",
    "discarded": "workers discarded its message again and again: was it revoked?",
    "set_aside": "what Redis held of the job could not be read",
}
#: Those that say nothing of the moment, and what the run is called beside them.
_AT_ANY_TIME = {
    "replaced": "it",
    "cancelled": "it",
    "paused": "the run",
    "disabled": "the run",
    "removed": "the run",
    "edited": "the run",
}


def explain_reason(reason: str | None, attempts: int = 0, failed: int | None = 0) -> str:
    """Say why a run did not go on: "somebody cancelled it while it waited for attempt 3".

    `attempts` were made. `failed` of them had failed before; with one more, that one was cut off.
    Without `failed` nothing is said of the moment.
    """
    return REASONS.get(str(reason), str(reason)) + _explain_moment(reason, attempts, failed)


def explain_end(record: Mapping[str, Any] | None, reason: str | None, said: str = "") -> str:
    """Say the same of a run by its record; without one, or of an earlier version, no moment.

    What is `said` takes the place of the reason's text.
    """
    record = record or {}
    attempts, failed = record.get("attempt") or 0, record.get("tried")
    if record.get("status") == "missed":
        attempts = failed = 0
    return (said or REASONS.get(str(reason), str(reason))) + _explain_moment(
        reason, attempts, failed
    )


def _explain_moment(reason: str | None, attempts: int, failed: int | None) -> str:
    run = _AT_ANY_TIME.get(str(reason))
    if run is None or failed is None:
        return ""
    if attempts > failed:
        return f" while {run} ran"
    return f" while {run} waited for attempt {failed + 1}" if failed else " before it could start"
