"""Parse what Redis holds about the ticks of a job. Values of another program are left out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any

import orjson

from cron_tasks.audit.day_check import Evidence
from cron_tasks.audit.job_account import Folded, Version
from cron_tasks.ledger.day_count import DayCount
from cron_tasks.ledger.history import split_runs
from cron_tasks.ledger.minutes import is_minute
from cron_tasks.ledger.readable import check_status
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.registry import entries
from cron_tasks.schedules import Schedule
from cron_tasks.store.readable import is_time, parse_each

#: The number of versions of a job that the previous version of this program kept. It did not record
#: that it dropped some.
OLD_VERSIONS_KEPT = 999


def read_versions(entry: Any, past: Sequence[str]) -> tuple[list[Version], float]:
    """Return a job's versions, oldest first, and when the last dropped one ended (0 for none).

    A version that cannot be read is left out. Beat has put its entry into quarantine, so it fires
    no ticks.
    """
    lines = list(parse_each(_read_line, reversed(past)))
    forgotten = max((line["forgotten"] for line in lines if "forgotten" in line), default=0.0)
    if len(lines) >= OLD_VERSIONS_KEPT and not forgotten:
        forgotten = lines[0]["since"]
    found = [line for line in lines if "forgotten" not in line]
    versions = list(parse_each(_read_past_version, found))
    if not isinstance(entry, Exception) and entry[0] and entry[1]:
        versions += parse_each(_read_current_version, [entry])
    return versions, forgotten


def _read_past_version(line: Mapping[str, Any]) -> Version:
    """Return a past version. Raises one of UNREADABLE."""
    why = _why_nothing_is_due(line["enabled"], line.get("paused"))
    schedule = None if why else entries.read_schedule(line)
    return _make_version(line["since"], line["until"], schedule, why)


def _read_current_version(entry: Sequence[str]) -> Version:
    """Return the version of an entry. Raises one of UNREADABLE."""
    definition, since, paused = entry
    schedule, is_enabled = entries.parse_timing(definition)
    why = _why_nothing_is_due(is_enabled, orjson.loads(paused) if paused else None)
    return _make_version(float(since), inf, None if why else schedule, why)


def _why_nothing_is_due(is_enabled: bool, pause: Mapping[str, Any] | None) -> str:
    """Return why no tick of a version is due, '' if ticks are due."""
    if pause:
        return f"paused: {pause['reason']}"
    return "" if is_enabled else "disabled"


def _make_version(since: float, until: float, schedule: Schedule | None, why: str) -> Version:
    if not is_time(since):
        raise ValueError("no date can show the start of the version")
    return Version(since, until, schedule, why)


def _read_line(text: str) -> dict[str, Any]:
    """Return a line of the versions. Raises one of UNREADABLE."""
    line: dict[str, Any] = orjson.loads(text)
    if "forgotten" in line:
        return {"forgotten": float(line["forgotten"])}
    return line | {"since": float(line["since"]), "until": float(line["until"])}


def read_open_tick(tick: tuple[float, str]) -> tuple[float, State]:
    return tick[0], State.parse(tick[1])


def read_record(
    row: tuple[str, float], versions: Iterable[Version]
) -> tuple[float, float, dict[str, Any]]:
    """Return the first and the last tick of a record, and the record. Raises one of UNREADABLE.

    A stretch without an end lasts until the next edit of the job.
    """
    record, last = dict(orjson.loads(row[0])), (first := row[1])
    check_status(record["status"])
    if "until" in record:
        last = datetime.fromisoformat(record["until"]).timestamp()
    elif "run_id" not in record:
        last = next((v.until for v in versions if v.since < first <= v.until), first)
    return first, last, record


def read_folded_counts(
    fields: Mapping[str, str],
) -> tuple[Folded, list[tuple[float, float, dict[str, Any]]], float]:
    """Return the counts by the hour, the manual runs, and the time up to which records of
    stretches were dropped."""
    ends = [row for row in fields.items() if row[0].startswith("@")]
    hours = [row for row in fields.items() if row[0][:1].isdecimal()]
    until = [fields["until"]] if "until" in fields else []
    unknown = [datetime.timestamp(each) for each in parse_each(datetime.fromisoformat, until)]
    return dict(parse_each(_read_hour, hours)), list(parse_each(_read_end, ends)), sum(unknown)


def _read_hour(field: tuple[str, str]) -> tuple[tuple[int, str, str | None], DayCount]:
    """Return the count of an hour, a status and a reason. Raises ValueError."""
    hour, status, reason = field[0].split(":", 2)
    return (int(hour), check_status(status), reason or None), DayCount.unpack(int(field[1]))


def _read_end(field: tuple[str, str]) -> tuple[float, float, dict[str, Any]]:
    """Return how a run ended at a time that no schedule can derive. Raises ValueError."""
    when, (status, reason, *twice) = float(field[0][1:]), field[1].split(":")
    ended = {"status": check_status(status), "reason": reason or None, "twice": bool(twice)}
    return when, when, ended


def read_evidence(lines: Sequence[str]) -> Evidence:
    """Return the evidence in a job's history, whose lines come newest first.

    Records and minutes are in separate lists. So the history is complete from the later of their
    two beginnings.
    """
    ok, ended = Counter[float](), set[float]()
    oldest: dict[bool, float] = {}
    for line in lines:
        for record in split_runs([line]):
            run = RunId.parse(record["run_id"])
            if "until" in record or run is None:
                continue
            ended.add(run.scheduled_for)
            ok[run.scheduled_for] += record["status"] == "ok"
            oldest[is_minute(line)] = record["finished_at"]
    return Evidence(ok, frozenset(ended), max(oldest.values(), default=float("inf")))
