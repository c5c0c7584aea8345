"""Compare the calls that the target saw with the promises: how often an action begins, and which
other run it overlaps.

An attempt at a run begins at most once, so a run begins at most `max_attempts` times for each
request. While a run is in flight, another run of its job begins only if the policy is `allow`, or
if the ledger had given up the attempt before: its worker was dead, or was frozen or without Redis
for longer than its lease, or its task did not end when it was asked to. Such an attempt has ended
without a worker in the history.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.asked import Asked, job_of
from chaos.checker import Verdict
from chaos.ledger import Ledger

#: Seconds between the end of a request and its log line, on a busy machine.
SLACK = 0.5


@dataclass
class Call:
    """A request. It has no status if the target died, or if the client gave up."""

    run: str
    attempt: int
    begun: float
    ended: float = float("inf")
    status: int = 0


def read_calls(log: Path) -> list[Call]:
    calls: dict[str, Call] = {}
    for line in log.read_text().splitlines():
        note = json.loads(line)
        if "run" in note:
            calls[note["call"]] = Call(note["run"], note["attempt"], note["at"])
        elif "status" in note:
            calls[note["call"]].ended, calls[note["call"]].status = note["at"], note["status"]
        else:
            for call in calls.values():
                call.ended = min(call.ended, note["at"])
    return list(calls.values())


def judge_calls(
    verdict: Verdict, row: Mapping[str, Any], ledger: Ledger, calls: Sequence[Call], asked: Asked
) -> None:
    """Check all calls of one job."""
    own = [c for c in calls if job_of(c.run) == row["id"] and asked.judges(c.run)]
    given_up = _given_up(ledger)
    verdict.calls += len(own)
    verdict.given_up += sum((call.run, call.attempt) in given_up for call in own)
    most = row["retry"]["max_attempts"]
    for (run, attempt), times in Counter((call.run, call.attempt) for call in own).items():
        if times > 1 + asked.again[run] or attempt > most:
            verdict.wrong["repeated"].append(f"{run} attempt {attempt} of {most}: {times} times")
    if row["overlap"] != "allow":
        verdict.wrong["overlapping"] += _overlapping(own, given_up, asked)
    answers = defaultdict(set)
    for call in own:
        answers[call.run].add(call.status)
    for run, ends in ledger.ends.items():
        if asked.judges(run) and ends[-1]["status"] == "ok" and 200 not in answers[run]:
            verdict.wrong["untrue"].append(f"{run} is ok, and was answered {answers[run]}")


def _given_up(ledger: Ledger) -> dict[tuple[str, int], float]:
    """Return when attempts were given up without their worker."""
    return {
        (run, attempt["attempt"]): attempt["finished_at"]
        for run, ends in ledger.ends.items()
        for record in ends
        for attempt in _attempts(record)
        if attempt["worker"] is None
    }


def _attempts(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the attempts of a run. It ended with the last one, or before its next one."""
    before = record.get("attempts", [])
    return [*before, record] if record["attempt"] > len(before) else before


def _overlapping(
    calls: Sequence[Call], given_up: Mapping[tuple[str, int], float], asked: Asked
) -> Iterator[str]:
    calls = sorted(calls, key=lambda call: call.begun)
    for n, first in enumerate(calls):
        for second in calls[n + 1 :]:
            if second.begun + SLACK > first.ended:
                break
            ended = [given_up.get((each.run, each.attempt)) for each in (first, second)]
            was_given_up = any(at is not None and at - asked.apart <= second.begun for at in ended)
            unknown = not {first.run, second.run}.isdisjoint(asked.forgotten) or any(
                (each.run, each.attempt) in asked.unguarded for each in (first, second)
            )
            if not was_given_up and not unknown:
                about = f"{second.run} attempt {second.attempt}"
                yield f"{about} while {first.run} attempt {first.attempt} was going"
