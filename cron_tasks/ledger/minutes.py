"""The minutes of a quick job, which fires more than once a minute. Pure.

The ledger keeps one record for all ordinary runs of a minute: those that ended ok at the first
attempt, and those that were skipped because an earlier run was still in flight. Every other run has
a separate record, like the runs of any other job.

A minute is the whole record of its first run, with one more field. `minute` has the number of the
minute since 1970, and for each run its second, the milliseconds from the fire time to the start,
and its duration in milliseconds: `29404140 0:4:12 1:3:11`. A skipped run has no duration, and has
its end in place of the start: `2:5:`. lua/keep_minute.lua adds runs, and leaves the text open at
the end. A large batch continues a minute for some seconds, which are 60 or more then. The ok runs
of a minute in progress are not in the count of the day yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any

import orjson

from cron_tasks.ledger.day_count import count_one
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.durations import DAY, MINUTE
from cron_tasks.schedules.iso8601 import iso_utc

#: The reasons for which an ordinary run is skipped.
OUTGROWN = ("overlap", "replaced")
#: The end of the record of a minute.
_END = '"}'


@dataclass(frozen=True, slots=True)
class Brief:
    """A run as it is added to its minute: the number of the minute, and the text of the run.

    If the run is the first one of its minute, `opening` begins the record, which has no run id and
    no end yet.
    """

    minute: int
    run: str
    opening: bytes

    def write(self) -> bytes:
        """Return the text that `finish` takes in place of a record."""
        return f"{self.minute} {self.run} ".encode() + self.opening


def write_rest(record: Mapping[str, Any]) -> bytes:
    """Return the part of a record after its run id."""
    return b"," + orjson.dumps({name: record[name] for name in record if name != "run_id"})[1:]


def make_brief(
    fire_time: float, started_at: float | None, finished_at: float, record: bytes
) -> Brief:
    """Return a run in the form in which its minute stores it. Times are in seconds since the epoch.

    `record` is the part of its whole record after the run id (write_rest). Without `started_at` the
    run was skipped.
    """
    minute = int(fire_time // MINUTE)
    second = f"{round(fire_time - minute * MINUTE, 6):.8g}"
    begun = finished_at if started_at is None else started_at
    took = "" if started_at is None else max(round((finished_at - started_at) * 1000), 0)
    run = f"{second}:{round((begun - fire_time) * 1000)}:{took}"
    return Brief(minute, run, record[:-1] + f',"minute":"{minute} {run}'.encode())


def is_minute(line: str) -> bool:
    """Return whether a line of the history is a minute."""
    return line.endswith('"}') and ',"minute":"' in line


def close_minute(job_id: str, stored: str) -> str | None:
    """Return a minute in progress, as stored in `cron_tasks:minute:now`, as a line of the history.

    Returns None for a text that is not a minute.
    """
    record = stored.partition(" ")[2]
    moment = record.partition('"scheduled_for":"')[2].partition('"')[0]
    if not moment:
        return None
    run_id = orjson.dumps(f"{job_id}@{moment}").decode()
    return f'{{"run_id":{run_id}{record}{_END}'


@lru_cache(maxsize=4096)
def count_minute(stored: str) -> tuple[int, int] | None:
    """Return the day of a minute in progress, and the packed count of its ok runs (day_count.py).

    Return None for a text that is not a minute. Many jobs have the same text.
    """
    number, *runs = stored.partition('"minute":"')[2].split(" ")
    try:
        start = int(number) * MINUTE
        ok = [text.partition(":")[0] for text in runs if not text.endswith(":")]
        return int(start // DAY), sum(count_one(start + float(second)) for second in ok)
    except ValueError:
        return None


def split_minute(line: str) -> list[dict[str, Any]]:
    """Return the records of the runs of a minute, by fire time.

    Their workers are not known, unless there is only one run.
    """
    head: dict[str, Any] = orjson.loads(line)
    job_id = RunId.stored(head["run_id"]).job_id
    number, *runs = head.pop("minute").split(" ")
    worker = head["worker"] if len(runs) == 1 else None
    base = {"worker": worker, "error": None}
    found = []
    for text in runs:
        second, begun, took = text.split(":")
        fire_time = round(int(number) * MINUTE + float(second), 6)
        found.append(_build_record(RunId(job_id, fire_time), begun, took, head) | base)
    return sorted(found, key=lambda record: record["run_id"].scheduled_for)


def _build_record(run_id: RunId, begun: str, took: str, head: Mapping[str, Any]) -> dict[str, Any]:
    at = round(run_id.scheduled_for + int(begun) / 1000, 3)
    record = {"run_id": run_id, "scheduled_for": iso_utc(run_id.scheduled_for)}
    if took:
        ended = {"status": "ok", "reason": None, "attempt": 1, "started_at": at}
        return record | ended | {"finished_at": round(at + int(took) / 1000, 3)}
    reason = head["reason"] or OUTGROWN[0]
    ended = {"status": "skipped", "reason": reason, "attempt": 0, "started_at": None}
    return record | ended | {"finished_at": at}


def summarise_minute(line: str) -> dict[str, Any]:
    """Return one record for all runs of a minute. A single run keeps its record.

    The record has the id of the first run, and `until` is the fire time of the last one. `summary`
    has the figures of the ok runs: `ok` (their number), `median` and `slowest` (seconds, None
    without ok runs), and the number of `skipped` runs.
    """
    runs = split_minute(line)
    if len(runs) == 1:
        return runs[0]
    ok = [run for run in runs if run["status"] == "ok"]
    first, last = runs[0], max(runs, key=lambda run: run["finished_at"])
    started = min((run["started_at"] for run in ok), default=None)
    return first | {
        "status": "ok" if ok else "skipped",
        "reason": None if ok else first["reason"],
        "attempt": 1 if ok else 0,
        "started_at": started,
        "finished_at": last["finished_at"],
        "until": runs[-1]["scheduled_for"],
        "summary": summarise(durations_of(ok), len(runs) - len(ok)),
    }


def summarise(durations: Sequence[float], skipped: int) -> dict[str, Any]:
    """Return the figures for ok runs with these durations in seconds, and for skipped runs."""
    return {
        "ok": len(durations),
        "median": round(median(durations), 3) if durations else None,
        "slowest": max(durations, default=None),
        "skipped": skipped,
    }


def durations_of(records: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the durations of the runs of these records that have begun, in seconds."""
    return [
        round(each["finished_at"] - each["started_at"], 3)
        for each in records
        if each.get("started_at") is not None
    ]
