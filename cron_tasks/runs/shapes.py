"""The shapes of a run for people and programs (docs/contract.md, section 5). Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from cron_tasks.ledger.batch import read_line
from cron_tasks.ledger.minutes import is_minute, summarise_minute
from cron_tasks.ledger.readable import parse_each, parse_run
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.runs.reasons import explain_end
from cron_tasks.schedules.human import format_local
from cron_tasks.schedules.iso8601 import iso_utc

#: Fields of accounts and failed attempts that only the audit, `why` and notifications need.
_INNER = ("began", "by_hand", "twice", "tried", "announced")
_ATTEMPT = ("attempt", "started_at", "finished_at", "worker", "error")

#: A run: the fields of docs/contract.md, section 5, and further ones.
Shape = dict[str, Any]


def read_record(line: str, job_id: str = "") -> Shape:
    """Read a record of the ledger, with times as ISO 8601 and durations in seconds.

    A short line of the history does not name its job, which is `job_id` (ledger/batch.py).

    Besides the fields of the contract it may have: `output`, `other` (the blocking run), `untold`,
    `until` (it stands for all fire times up to then), `attempts` (those that are known), and
    `because`, which explains why a run was skipped or missed. If it stands for the runs of a
    minute, it has their `summary` (ledger/minutes.py), and `duration` is the median.

    Raises one of UNREADABLE (ledger/readable.py) for a line that another program has written.
    """
    if is_minute(line):
        return shape_record(summarise_minute(line))
    return shape_record(parse_run(read_line(line, job_id)))


def read_records(lines: Iterable[str], job_id: str = "") -> Iterator[Shape]:
    """Read records, and leave out the lines that another program has written."""
    return parse_each(partial(read_record, job_id=job_id), lines)


def shape_record(record: Shape) -> Shape:
    if record["status"] in ("skipped", "missed"):
        record["because"] = explain_end(record, record["reason"])
    is_single = record["attempt"] and "summary" not in record
    own = {"attempts": _attempts(record)} if is_single else {}
    return head_run(RunId.stored(record["run_id"])) | add_times(record) | own


def add_times(record: Mapping[str, Any]) -> Shape:
    """Return a record, or one of its attempts, with times as text."""
    start, end = record["started_at"], record["finished_at"]
    duration = None if start is None else round(end - start, 3)
    if "summary" in record:
        duration = record["summary"]["median"]
    times = {
        "started_at": format_local(start),
        "finished_at": format_local(end),
        "duration": duration,
    }
    return {name: value for name, value in record.items() if name not in _INNER} | times


def name_status(state: State) -> str:
    if state.in_flight:
        return "running"
    return "pending" if state.attempt == 1 else "retrying"


def shape_open(run_id: RunId, state: State, trace: str | None) -> Shape:
    """Return an open run. Its error is that of its last attempt."""
    last = json.loads(trace)[-1] if trace else {"error": None}
    return head_run(run_id) | {
        "status": name_status(state),
        "reason": "queued" if state.kind is Kind.QUEUED else None,
        "attempt": state.attempt,
        "started_at": None,
        "finished_at": None,
        "duration": None,
        "worker": state.holder.rpartition("#")[0] or None,
        "error": last["error"],
    }


def head_run(run_id: RunId) -> Shape:
    return {
        "run_id": run_id,
        "job_id": run_id.job_id,
        "scheduled_for": iso_utc(run_id.scheduled_for),
    }


def _attempts(record: Mapping[str, Any]) -> list[Shape]:
    """Return the attempts of a run that has ended: the failed ones, and the last one.

    If the run ended while it waited for its next attempt, there is no last one.
    """
    before = record.get("attempts", [])
    last = {name: record[name] for name in _ATTEMPT}
    ended_with = record["attempt"] > record.get("tried", len(before))
    return list(map(add_times, [*before, last] if ended_with else before))
