"""The independent judge: every expected tick against the ledger, the bot's queue and the target.

It computes the ticks of an interval by itself, reads the records as plain JSON, and knows what was
asked for by hand only from the answers to the commands.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from redis import Redis

Record = Mapping[str, Any]
#: Hashes in which a run stands only as long as it is open.
PASSING = ("open", "going", "queued", "stop", "attempts")
#: Seconds for which a tick may still fire after its job was paused: it was in hand by then.
IN_HAND = 1.0
#: What may be found wrong; docs/operations.md says what each means.
PROMISES = (
    *("lost", "doubled", "unasked", "untold", "repeated", "overlapping", "untrue", "left_over"),
    *("audit", "gave_up"),
)
ENDS = {"ok": "success", "failed": "failure"}


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Asked:
    """The stretch that is judged (both ends between two ticks), and what was done by hand in it.

    A pause is from one time up to the first tick after it; an edit is the time from which a job
    comes every so many seconds.
    """

    since: float = float("inf")
    until: float = float("inf")
    pauses: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    edits: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    skipped: set[str] = field(default_factory=set)
    by_hand: set[str] = field(default_factory=set)
    again: Counter[str] = field(default_factory=Counter)

    @property
    def start(self) -> str:
        return iso(self.since)

    def judges(self, run: str) -> bool:
        return seconds(run.rpartition("@")[2]) > self.since

    def ticks(self, job: str, every: int) -> Iterator[int]:
        versions = [(0.0, every), *self.edits[job], (self.until, 1)]
        for (begin, every), (end, _) in pairwise(versions):
            begin = max(begin, self.since)
            for tick in range(int(begin // every + 1) * every, int(end) + 1, every):
                if not any(since < tick < upcoming for since, upcoming in self.pauses[job]):
                    yield tick


@dataclass
class Verdict:
    """Ticks by how they ended, and by promise what was found to break it."""

    expected: int = 0
    calls: int = 0
    given_up: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PROMISES})

    @property
    def clean(self) -> bool:
        return not any(self.wrong.values())


@dataclass
class Ledger:
    """What the ledger has of one job: ends by run (oldest first), and stretches of missed ticks."""

    ends: dict[str, list[Record]]
    alone: dict[str, Record]
    missed: set[tuple[float, float, str, str]]

    @classmethod
    def read(cls, redis: Redis, job: str) -> "Ledger":
        history = [json.loads(row) for row in redis.lrange(f"cron_tasks:history:{job}", 0, -1)]
        rows = redis.zrange(f"cron_tasks:account:{job}", 0, -1, withscores=True)
        account = [(json.loads(row), first) for row, first in rows]
        ends = defaultdict(list)
        for record in reversed(history):
            if "until" not in record:
                ends[record["run_id"]].append(record)
        stretches = [(r, seconds(r["scheduled_for"])) for r in history] + account
        missed = {
            (first, seconds(r["until"]), r["reason"], r.get("run_id", ""))
            for r, first in stretches
            if "until" in r
        }
        return cls(ends, {r["run_id"]: r for r, _ in account if "until" not in r}, missed)


def judge(
    redis: Redis, rows: Sequence[Mapping[str, Any]], asked: Asked, messages: Sequence[Record]
) -> Verdict:
    """What became of every tick of the jobs, and of everything asked for by hand."""
    verdict = Verdict()
    for name in PASSING:
        left = redis.hgetall(f"cron_tasks:{name}")
        verdict.wrong["left_over"] += [f"{name}: {run} {value}" for run, value in left.items()]
    left_over = redis.zrange("cron_tasks:deadlines", 0, -1)
    verdict.wrong["left_over"] += [f"deadlines: {run}" for run in left_over]
    told = Counter(message["id"] for message in messages)
    verdict.wrong["doubled"] += [message for message, times in told.items() if times > 1]
    events = Counter(_event(message) for message in told)
    for row in rows:
        job, ledger = row["id"], Ledger.read(redis, row["id"])
        expected = {f"{job}@{iso(tick)}": tick for tick in asked.ticks(job, row["every"])}
        for run, tick in expected.items():
            _judge_tick(verdict, ledger, run, tick, asked)
        _judge_unasked(verdict, ledger, job, expected, asked)
        wanted = Counter(_wanted(row, ledger))
        for message in {*wanted, *(each for each in events if each.startswith(f"{job}@"))}:
            run, _, event = message.partition("/")
            if events[message] != wanted[message] and event != "recovered" and asked.judges(run):
                found = f"{message} told {events[message]} times, {wanted[message]} wanted"
                verdict.wrong["untold"].append(found)
    return verdict


def _judge_tick(verdict: Verdict, ledger: Ledger, run: str, tick: int, asked: Asked) -> None:
    verdict.expected += 1
    missed = [reason for first, last, reason, _ in ledger.missed if first <= tick <= last]
    ends = ledger.ends.get(run, [])
    if len(ends) > 1 + asked.again[run]:
        verdict.wrong["doubled"].append(f"{run} ended {len(ends)} times")
    if ends and (missed or run in asked.skipped):
        verdict.wrong["doubled"].append(f"{run} both ended and missed or skipped")
    last = ends[-1] if ends else ledger.alone.get(run)
    if last:
        verdict.statuses[" ".join(filter(None, (last["status"], last["reason"])))] += 1
    elif missed:
        verdict.statuses[f"missed {missed[0]}"] += 1
    if not (last or missed) or len(ends) < asked.again[run] + bool(asked.again[run]):
        verdict.wrong["lost"].append(run)


def _judge_unasked(
    verdict: Verdict, ledger: Ledger, job: str, expected: Iterable[str], asked: Asked
) -> None:
    """Of what was asked for by hand each is an end; beyond that only ticks have one."""
    for run in asked.by_hand:
        if run.rpartition("@")[0] == job and len(ledger.ends.get(run, [])) != 1 + asked.again[run]:
            found = f"{run}, asked for by hand, ended {len(ledger.ends.get(run, []))} times"
            verdict.wrong["lost"].append(found)
    for run in ledger.ends.keys() - asked.by_hand - set(expected):
        tick = seconds(run.rpartition("@")[2])
        in_hand = any(since < tick < since + IN_HAND for since, _ in asked.pauses[job])
        if asked.judges(run) and not in_hand:
            verdict.wrong["unasked"].append(run)


def _wanted(row: Mapping[str, Any], ledger: Ledger) -> Iterator[str]:
    """The events that are to be told, by run; each as often as it happened."""
    on = row.get("notify", {}).get("on", ("success", "failure"))
    for run, ends in ledger.ends.items():
        for record in ends:
            event = ENDS.get(record["status"], record["status"])
            yield from (f"{run}/{event}" for _ in range(event in on))
            for failed in record.get("attempts", []) if "retry" in on else ():
                yield f"{run}/retry/{failed['attempt']}"
    for *_, run in ledger.missed:
        yield from (f"{run}/missed" for _ in range(run != "" and "missed" in on))


def _event(message: str) -> str:
    """The id of a notification without the time that one of a run done again by hand has."""
    event, _, last = message.rpartition("/")
    return event if last.endswith("Z") and "T" in last else message


def compare(verdict: Verdict, audit: Mapping[str, Any]) -> None:
    """Does `cron-tasks audit` say the same?"""
    said = Counter({"ok": audit["ok"], "failed": audit["failed"], "open": audit["open"]})
    for status in ("skipped", "missed"):
        said.update({f"{status} {reason}": n for reason, n in audit[status].items()})
    found = Counter[str]()
    for status, count in verdict.statuses.items():
        found["failed" if status.startswith("failed") else status] += count
    said["expected"], found["expected"] = audit["expected"], verdict.expected
    said["lost"], found["lost"] = len(audit["lost"]), len(verdict.wrong["lost"])
    for what in {*said, *found}:
        if said[what] != found[what]:
            verdict.wrong["audit"].append(f"{what}: {said[what]}, and not {found[what]}")
    verdict.wrong["audit"] += [f"lost: {run}" for run in audit["lost"]]
