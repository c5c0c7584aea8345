"""The independent judge: every expected tick against the ledger and the bot's queue.

It computes the ticks of an interval by itself and reads the records as plain JSON.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redis import Redis


@dataclass
class Verdict:
    expected: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    still_open: list[str] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.untold or self.still_open or self.gave_up)


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")


def judge(redis: Redis, intervals: Mapping[str, int], since: float, until: float) -> Verdict:
    """Every tick of the jobs (id: seconds between ticks) after `since` and up to `until`."""
    verdict = Verdict(still_open=list(redis.hkeys("cron_tasks:open")))
    told = Counter(json.loads(m)["id"] for m in redis.lrange("queue:to_telegram", 0, -1))
    verdict.doubled += [message for message, times in told.items() if times > 1]
    for job, interval in intervals.items():
        records = [json.loads(row) for row in redis.lrange(f"cron_tasks:history:{job}", 0, -1)]
        ended = Counter(record["run_id"] for record in records if "until" not in record)
        verdict.doubled += [run for run, times in ended.items() if times > 1]
        status = {record["run_id"]: record for record in records if "until" not in record}
        gaps = [
            (seconds(r["scheduled_for"]), seconds(r["until"]), r["reason"])
            for r in records
            if "until" in r
        ]
        first = int(since // interval + 1) * interval
        for tick in range(first, int(until) + 1, interval):
            _judge_tick(verdict, f"{job}@{iso(tick)}", tick, status, gaps, told)
    return verdict


def _judge_tick(
    verdict: Verdict,
    run: str,
    tick: int,
    status: Mapping[str, dict[str, str]],
    gaps: list[tuple[float, float, str]],
    told: Counter[str],
) -> None:
    verdict.expected += 1
    missed = [reason for first, last, reason in gaps if first <= tick <= last]
    if run in status and missed:
        verdict.doubled.append(f"{run} both ended and missed")
    if run in status:
        record = status[run]
        verdict.statuses[" ".join(filter(None, (record["status"], record["reason"])))] += 1
        wanted = {"ok": "success", "failed": "failure"}.get(record["status"])
        if wanted and told[f"{run}/{wanted}"] != 1:
            verdict.untold.append(run)
    elif missed:
        verdict.statuses[f"missed {missed[0]}"] += 1
    else:
        verdict.lost.append(run)
