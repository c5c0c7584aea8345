"""Parse what Redis holds about the ticks of a job. Values of another program are left out. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from cron_tasks.audit.day_check import Evidence
from cron_tasks.audit.job_account import Folded, Version
from cron_tasks.ledger.day_count import DayCount
from cron_tasks.ledger.history import split_runs
from cron_tasks.ledger.minutes import is_minute
from cron_tasks.ledger.readable import check_status, is_time, parse_each
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.registry import entries

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
    lines = [line for line in lines if "forgotten" not in line]
    if not isinstance(entry, Exception) and entry[0] and entry[1]:
        try:
            line = orjson.loads(entry[0])
            line |= {"since": float(entry[1]), "until": float("inf")}
            line["paused"] = orjson.loads(entry[2] or "null")
            lines.append(line)
        except (ValueError, TypeError):
            pass
    return list(parse_each(_read_version, lines)), forgotten


def _read_version(line: Mapping[str, Any]) -> Version:
    """Return a version. Raises one of UNREADABLE."""
    why = "" if line["enabled"] else "disabled"
    if line.get("paused"):
        why = f"paused: {line['paused']['reason']}"
    schedule = None if why else entries.read_schedule(line)
    if not is_time(line["since"]):
        raise ValueError("no date can show the start of the version")
    return Version(float(line["since"]), float(line["until"]), schedule, why)


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
