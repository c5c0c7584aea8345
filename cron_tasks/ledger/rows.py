"""Values of the ledger as rows of its scripts. The headers in lua/ name the columns. Pure."""

from collections.abc import Sequence
from typing import Any

from cron_tasks.ledger.records import SUPPRESSED, Advance, Message, Outcome
from cron_tasks.ledger.state import Flag


def entry_row(entry: Advance) -> tuple[Any, ...]:
    """Return a row of the script `advance`."""
    upcoming = "" if entry.next is None else repr(entry.next)
    unfired = _unfired_rows(entry) if entry.missed or entry.skipped else ()
    flags = Flag.IN_TURN.value if entry.in_turn else ""
    run_ids = [(run_id,) for run_id in entry.run_ids]
    limits: Sequence[tuple[Any, ...]] = ()
    if within := entry.expect_within:
        limits = [(run_id, run_id.scheduled_for + within) for run_id in entry.run_ids]
    return (entry.key, entry.score, upcoming, entry.meta, flags, run_ids, limits, unfired)


def _unfired_rows(entry: Advance) -> list[tuple[Any, ...]]:
    """Return the fire times of an entry that will not run, as the script `advance` reads them.

    A stretch of missed fire times comes first: what was skipped within it has a record of its own.
    """
    rows: list[tuple[Any, ...]] = []
    if entry.missed:
        message = entry.message or Message("", b"")
        first = entry.score if entry.missed_from is None else repr(entry.missed_from)
        rows.append((entry.job_id, first, entry.missed, "", message.queue, message.payload))
    for each in entry.skipped:
        when = each.run_id.scheduled_for
        message = each.messages[0] if each.messages else Message("", b"")
        rows.append((each.job_id, when, each.record, each.run_id, message.queue, message.payload))
    return rows


def outcome_row(outcome: Outcome) -> tuple[Any, ...]:
    """Return a row of the script `finish`."""
    suppressed = outcome.messages is SUPPRESSED
    messages = [] if suppressed else [(m.queue, m.payload, m.condition) for m in outcome.messages]
    return (
        *(outcome.run_id, outcome.job_id, outcome.state, outcome.record, outcome.status),
        *outcome.tag,
        "1" if suppressed else "",
        messages,
        [(ping,) for ping in outcome.pings],
    )
