"""The digest: one notification a day about late, missed and skipped runs. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import orjson

from cron_tasks.ledger.records import Message
from cron_tasks.runs.reasons import REASONS
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings
from cron_tasks.text.display import printable
from cron_tasks.text.english import join_words, number_of

#: The most lines of each kind, and characters of a job's name, that are readable in a chat.
MOST_LINES, MOST_OF_NAME = 10, 60
_SIGNS = {"late": "⏰", "missed": "⚠️", "skipped": "⏭️"}


class Entry(NamedTuple):
    """A number of runs of a job that were "late", "missed" or "skipped", with the reason."""

    kind: str
    job_id: str
    reason: str


def last_end(now: float, hour: int, zone: str, days_before: int = 0) -> float:
    """Return when the last digest was due by `now`, or the one that many days before it.

    It is the last time at which the clock in `zone` showed `hour`.
    """
    local = datetime.fromtimestamp(now, ZoneInfo(zone))
    end = local.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    if end.timestamp() > now:
        end -= timedelta(days=1)
    return (end - timedelta(days=days_before)).timestamp()


def write_digest(
    counts: Counter[Entry], names: Mapping[str, str], end: float, now: float, settings: Settings
) -> Message | None:
    """Write the digest of the entries until `end`, or return None if there are none.

    `names` are the names of jobs by their ids. Times are in seconds since the epoch.
    """
    if not counts or settings.digest is None:
        return None
    totals = {kind: sum(n for each, n in counts.items() if each.kind == kind) for kind in _SIGNS}
    summary = [f"{count:,} {kind}" for kind, count in totals.items() if count]
    until = datetime.fromtimestamp(end, ZoneInfo(settings.timezone))
    lines = [f"Until {until:%Y-%m-%d %H:%M}: {join_words(summary)}"]
    for kind in _SIGNS:
        lines += _describe_kind(kind, counts, names, totals[kind])
    created_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    body = {
        "chat_id": settings.digest.chat_id,
        "response": "\n".join(lines),
        "status": "error",
        "id": f"digest/{iso_utc(end)}",
        "job_id": None,
        "job_name": None,
        "run_id": None,
        "event": "digest",
        "scheduled_for": iso_utc(end),
        "created_at": created_at.replace("+00:00", "Z"),
        "attempt": 0,
        "error": join_words(summary),
    }
    return Message(settings.notify_queue, orjson.dumps(body))


def _describe_kind(
    kind: str, counts: Counter[Entry], names: Mapping[str, str], total: int
) -> Iterator[str]:
    """Yield a heading and the lines of one kind, the most frequent first."""
    if not total:
        return
    yield f"{_SIGNS[kind]} {total:,} {kind}"
    found = [(entry, count) for entry, count in counts.most_common() if entry.kind == kind]
    for entry, count in found[:MOST_LINES]:
        name = printable(names.get(entry.job_id, entry.job_id), MOST_OF_NAME)
        why = f": {REASONS.get(entry.reason, entry.reason)}" if entry.reason else ""
        yield f"• {count:,} × {name}{why}"
    if rest := found[MOST_LINES:]:
        yield f"• {sum(count for _, count in rest):,} × {number_of(len(rest), 'other entry')}"
