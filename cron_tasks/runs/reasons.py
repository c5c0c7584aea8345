"""The reasons for which runs are skipped or missed, as text. Pure."""

from collections.abc import Mapping
from typing import Any

#: The text of each reason for which a run is skipped or missed.
REASONS = {
    "overlap": "another run of the job was still running",
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
#: Reasons that apply at any time, and the words for the run in a sentence with them.
_AT_ANY_TIME = {
    "replaced": "it",
    "cancelled": "it",
    "paused": "the run",
    "disabled": "the run",
    "removed": "the run",
    "edited": "the run",
}


def explain_reason(reason: str | None, attempts: int = 0, failed: int | None = 0) -> str:
    """Explain why a run did not go on: "somebody cancelled it while it waited for attempt 3".

    `attempts` were made. `failed` of them had failed before. If there is one more, it was cut off.
    If `failed` is None, the text does not name the moment.
    """
    return REASONS.get(str(reason), str(reason)) + _explain_moment(reason, attempts, failed)


def explain_end(record: Mapping[str, Any] | None, reason: str | None, text: str = "") -> str:
    """Explain the same from the record of a run. A record of an earlier version has no moment.

    `text` replaces the text of the reason.
    """
    record = record or {}
    attempts, failed = record.get("attempt") or 0, record.get("tried")
    if record.get("status") == "missed":
        attempts = failed = 0
    return (text or REASONS.get(str(reason), str(reason))) + _explain_moment(
        reason, attempts, failed
    )


def _explain_moment(reason: str | None, attempts: int, failed: int | None) -> str:
    run = _AT_ANY_TIME.get(str(reason))
    if run is None or failed is None:
        return ""
    if attempts > failed:
        return f" while {run} ran"
    return f" while {run} waited for attempt {failed + 1}" if failed else " before it could start"
