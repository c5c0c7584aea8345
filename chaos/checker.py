"""The independent checker: compares every expected tick with the ledger, the bot's queue and the
target.

It computes the ticks of a period itself, reads the records as plain JSON, and knows the manual
actions only from the answers to the commands.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from redis import Redis

from chaos.asked import Asked, iso, job_of, seconds
from chaos.ledger import Ledger, Record

#: Hashes that contain a run only as long as it is open.
PASSING = ("open", "batches", "going", "queued", "stop", "attempts", "before")
#: The kinds of findings. docs/operations.md explains them.
PROMISES = (
    *("lost", "doubled", "unasked", "untold", "repeated", "overlapping", "untrue", "left_over"),
    *("audit", "registry", "stuck", "gave_up"),
)
ENDS = {"ok": "success", "failed": "failure"}


@dataclass
class Verdict:
    """The ticks by outcome, and the findings by broken promise."""

    expected: int = 0
    calls: int = 0
    given_up: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    #: The number of those ticks that the audit may not know. "lost" counts those without an end.
    unsure: Counter[str] = field(default_factory=Counter)
    #: Expected ticks without an end, and those of them that may have none.
    lost: list[str] = field(default_factory=list)
    ended_twice: list[str] = field(default_factory=list)
    #: Runs without a tick that are allowed, because beat had already sent them.
    in_hand: list[str] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PROMISES})

    @property
    def clean(self) -> bool:
        return not any(self.wrong.values())

    def add(self, other: "Verdict") -> None:
        """Add the verdict on another round."""
        for name in ("expected", "calls", "given_up"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.statuses += other.statuses
        self.lost += other.lost
        for name, found in other.wrong.items():
            self.wrong[name] += found


def judge(
    redis: Redis, rows: Sequence[Mapping[str, Any]], asked: Asked, messages: Sequence[Record]
) -> Verdict:
    """Check the outcome of every tick of the jobs, and of every manual action."""
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
        if job.startswith("flap-"):
            # Removing a job deletes its history, so its notifications stand for its ends.
            ledger.add_told(run_of(each) for each in events if each.startswith(f"{job}@"))
        expected = {f"{job}@{iso(tick)}": tick for tick in asked.ticks(job, row["every"])}
        for run, tick in expected.items():
            _judge_tick(verdict, ledger, run, tick, asked)
        _judge_unasked(verdict, ledger, job, expected, asked)
        wanted = Counter(_wanted(row, ledger))
        for message in {*wanted, *(each for each in events if each.startswith(f"{job}@"))}:
            run, _, event = message.partition("/")
            excused = run in asked.forgotten or run in verdict.ended_twice
            judged = event != "recovered" and asked.judges(run) and not excused
            if judged and events[message] != wanted[message]:
                found = f"{message} told {events[message]} times, {wanted[message]} wanted"
                verdict.wrong["untold"].append(found)
    return verdict


def _judge_tick(verdict: Verdict, ledger: Ledger, run: str, tick: int, asked: Asked) -> None:
    verdict.expected += 1
    missed = ledger.missed_at(tick)
    ends = ledger.ends.get(run, [])
    last = ends[-1] if ends else ledger.alone.get(run)
    # A tick ends where it ran, or where it was left out before. Each rerun adds an end.
    if run in asked.skipped:
        # Beat ended it, unless only a record in the account is left.
        passed_over = all(end["worker"] for end in ends)
    else:
        passed_over = bool(missed) or (not ends and last is not None)
    times, wanted = len(ends) + passed_over, 1 + asked.again[run] - len(ledger.unrun[run])
    if times > wanted:
        passed = " and was passed over" if passed_over else ""
        verdict.wrong["doubled"].append(f"{run} ended {len(ends)} times{passed}, {wanted} wanted")
        verdict.ended_twice.append(run)
    status = ""
    if last:
        status = " ".join(filter(None, (last["status"], last["reason"])))
    elif missed:
        status = f"missed {missed[0]}"
    verdict.unsure[status or "lost"] += not asked.is_sure(run)
    if status:
        verdict.statuses[status] += 1
    else:
        verdict.lost.append(run)
    if times < wanted and run not in asked.forgotten:
        verdict.wrong["lost"].append(run)


def _judge_unasked(
    verdict: Verdict, ledger: Ledger, job: str, expected: Iterable[str], asked: Asked
) -> None:
    """Check that each end belongs to a tick or to a manual action."""
    for run in asked.by_hand - asked.forgotten:
        ends = len(ledger.ends.get(run, []))
        if job_of(run) == job and ends != 1 + asked.again[run] - len(ledger.unrun[run]):
            verdict.wrong["lost"].append(f"{run}, asked for by hand, ended {ends} times")
    for run in ledger.ends.keys() - asked.by_hand - set(expected):
        tick = seconds(run.rpartition("@")[2])
        if asked.judges(run):
            found = verdict.in_hand if asked.in_hand(job, tick) else verdict.wrong["unasked"]
            found.append(run)


def _wanted(row: Mapping[str, Any], ledger: Ledger) -> Iterator[str]:
    """Return the events that have to be notified, by run, each as often as it happened."""
    on = row.get("notify", {}).get("on", ("success", "failure"))
    for run, ends in ledger.ends.items():
        for record in ends:
            event = ENDS.get(record["status"], record["status"])
            yield from (f"{run}/{event}" for _ in range(event in on))
    for run, reruns in ledger.unrun.items():
        yield from (f"{run}/skipped" for _ in range(len(reruns) * ("skipped" in on)))
    for run, records in chain(ledger.ends.items(), ledger.unrun.items()):
        for failed in chain.from_iterable(record.get("attempts", []) for record in records):
            yield from (f"{run}/retry/{failed['attempt']}" for _ in range("retry" in on))
    for *_, run in ledger.missed:
        yield from (f"{run}/missed" for _ in range(run != "" and "missed" in on))


def _event(message: str) -> str:
    """Return the id of a notification without the time that a rerun adds."""
    event, _, last = message.rpartition("/")
    return event if last.endswith("Z") and "T" in last else message


def run_of(message: str) -> str:
    """Return the run of a notification."""
    return message.partition("/")[0]
