"""Values of the ledger as rows of its scripts. The headers in lua/ name the columns. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from cron_tasks.ledger.counting import count_end
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
    """Return the fire times of an entry that will not run, as rows of the script `advance`.

    A stretch of missed fire times comes first. Skipped fire times within it have separate records.
    """
    rows: list[tuple[Any, ...]] = []
    if entry.missed:
        message = entry.message or Message("", b"")
        first = entry.score if entry.missed_from is None else repr(entry.missed_from)
        told = message.queue, message.payload
        rows.append((entry.job_id, first, entry.missed, "", *told, entry.missed_counts))
    for each in entry.skipped:
        when = each.run_id.scheduled_for
        message = each.messages[0] if each.messages else Message("", b"")
        told = message.queue, message.payload
        rows.append((each.job_id, when, each.record, each.run_id, *told, each.counts))
    return rows


def outcome_rows(outcomes: Iterable[Outcome]) -> tuple[list[tuple[Any, ...]], str]:
    """Return the rows of the script `finish`, and the lines of counter additions that they refer
    to."""
    lines: dict[str, int] = {}
    rows = []
    for outcome in outcomes:
        counts = outcome.counts or count_end(outcome.status, by_hand=outcome.state.is_manual)
        rows.append(_outcome_row(outcome, lines.setdefault(counts, len(lines) + 1)))
    return rows, "\n".join(lines)


def _outcome_row(outcome: Outcome, line: int) -> tuple[Any, ...]:
    suppressed = outcome.messages is SUPPRESSED
    messages = [] if suppressed else [(m.queue, m.payload, m.condition) for m in outcome.messages]
    record = outcome.brief.write() if outcome.brief else outcome.record
    return (
        *(outcome.run_id, outcome.job_id, outcome.state, record, outcome.status),
        *outcome.tag,
        "1" if suppressed else "",
        line,
        messages,
        [(ping,) for ping in outcome.pings],
    )
