"""Read the ledger of one job as plain JSON."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from chaos.asked import iso, seconds

Record = Mapping[str, Any]
#: The worker of a run in a shared record, which does not name it.
IN_MINUTE = "a worker"


@dataclass
class Ledger:
    """Ends by run (oldest first), single records of the account, and stretches of missed ticks.

    A stretch is (first tick, last tick, reason, run id of a notification about it or ""). `unrun`
    has, by run, the records of its reruns that were skipped, which do not change its end.
    """

    ends: dict[str, list[Record]]
    alone: dict[str, Record]
    missed: set[tuple[float, float, str, str]]
    unrun: Mapping[str, list[Record]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, redis: Redis, job: str) -> "Ledger":
        lines = redis.lrange(f"cron_tasks:history:{job}", 0, -1)
        history = [_record(job, json.loads(line)) for line in lines]
        history += _minutes(redis, job)
        rows = redis.zrange(f"cron_tasks:account:{job}", 0, -1, withscores=True)
        account = [(json.loads(row), first) for row, first in rows]
        ends = defaultdict(list)
        alone = {r["run_id"]: r for r, _ in account if "until" not in r and "run_id" in r}
        for record in sorted(history, key=lambda record: record["finished_at"]):
            if record["worker"] == IN_MINUTE and record["status"] == "skipped":
                record = alone.get(record["run_id"], record)
            if "until" not in record:
                ends[record["run_id"]].append(record)
        stretches = [(r, seconds(r["scheduled_for"])) for r in history if "until" in r]
        stretches += [(r, first) for r, first in account if "until" in r or "run_id" not in r]
        starts = _starts(redis, job)
        missed = {
            (first, _last(record, first, starts), record["reason"], record.get("run_id", ""))
            for record, first in stretches
        }
        return cls(ends, alone, missed, _unrun(redis, ends))

    def add_told(self, runs: Iterable[str]) -> None:
        """Add notifications that replace the ends in the deleted history of a removed job."""
        for run in set(runs) - self.ends.keys():
            self.ends[run].append({"status": "ok", "reason": None, "worker": "", "attempt": 1})

    def missed_at(self, tick: float) -> list[str]:
        """Return the reasons of the stretches that contain the tick."""
        return [reason for first, last, reason, _ in self.missed if first <= tick <= last]


def _record(job: str, line: Record | list[Any]) -> Record:
    """Return a whole record. A run that ended in a batch has a short one, which names no job."""
    if not isinstance(line, list):
        return line
    moment, started, finished, worker = line
    times = {"started_at": started, "finished_at": finished}
    run = {"run_id": f"{job}@{moment}", "scheduled_for": moment, "worker": worker, **times}
    return run | {"status": "ok", "reason": None, "attempt": 1, "error": None}


def _minutes(redis: Redis, job: str) -> list[Record]:
    """Return the runs of a job that fires more than once a minute, which share records."""
    lines = redis.lrange(f"cron_tasks:minutes:{job}", 0, -1)
    if now := redis.hget("cron_tasks:minute:now", job):
        # It is stored without the run id and without its end.
        lines.append("{" + now.partition(" ")[2].removeprefix(",") + '"}')
    return [run for line in lines for run in _runs_of_minute(job, json.loads(line))]


def _runs_of_minute(job: str, record: Record) -> Iterable[Record]:
    number, *runs = record["minute"].split(" ")
    for second, lag, took in (run.split(":") for run in runs):
        at = round(int(number) * 60 + float(second), 6)
        run = {"run_id": f"{job}@{iso(at)}", "worker": IN_MINUTE, "error": None}
        begun = at + int(lag) / 1000
        if took:
            ended = {"status": "ok", "reason": None, "attempt": 1, "started_at": begun}
            yield run | ended | {"finished_at": begun + int(took) / 1000}
        else:
            ended = {"status": "skipped", "reason": record["reason"] or "overlap", "attempt": 0}
            yield run | ended | {"started_at": None, "finished_at": begun}


def _unrun(redis: Redis, ends: Mapping[str, list[Record]]) -> Mapping[str, list[Record]]:
    unrun = defaultdict(list)
    for row in redis.lrange("cron_tasks:recent", 0, -1):
        if '"status":"skipped"' in row and (record := json.loads(row))["run_id"] in ends:
            run = record["run_id"]
            if record["finished_at"] not in [end["finished_at"] for end in ends[run]]:
                unrun[run].append(record)
    return unrun


def _last(record: Record, first: float, starts: Iterable[float]) -> float:
    """Return the end of a stretch. A stretch without an end lasts until the next version of the
    job."""
    if "until" in record:
        return seconds(record["until"])
    return min((start for start in starts if start > first), default=float("inf"))


def _starts(redis: Redis, job: str) -> list[float]:
    """Return the times from which the versions of a job are valid."""
    now = redis.hget(f"redbeat:cron_tasks:{job}", "since")
    # A line without it states up to when versions were lost.
    past = (
        json.loads(line).get("since") for line in redis.lrange(f"cron_tasks:versions:{job}", 0, -1)
    )
    return [float(since) for since in (now, *past) if since]
