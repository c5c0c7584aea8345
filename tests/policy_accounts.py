"""Compare the outputs of all commands about the runs of a world with the log of the service.

Each function yields sentences about differences. A correct world yields none.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policy_service import Seen
from policy_workers import MESSAGES, SETTINGS, START
from policy_world import World

from cron_tasks.audit.account_reader import days_between, read_accounts
from cron_tasks.audit.explain import explain_tick
from cron_tasks.audit.job_account import JobAccount
from cron_tasks.audit.tally import Tally, audit_job
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.store import keys

STOPPED = ("died and stopped", "cut off when done again")
#: Comparisons that are left out.
LEFT_OUT: frozenset[str] = frozenset()
END_OF = {"success": "ok", "failure": "failed", "skipped": "skipped", "missed": "missed"}
GRACE = SETTINGS.misfire_grace


@dataclass
class Told:
    """The outputs of the commands about one job."""

    world: World
    job_id: str
    account: JobAccount
    tally: Tally
    expected: list[float]

    def why(self, tick: float) -> str | None:
        lines = self.world.ledger.history(self.job_id)
        history = {run["run_id"]: run for run in map(json.loads, lines)}
        return explain_tick(self.account, history, tick, self.world.clock.now, "UTC").status


def told(world: World, job_id: str) -> Told:
    now = world.clock.now
    (account,) = read_accounts(world.redis, [job_id], days_between(START, now))
    expected = sorted(set(world.jobs[job_id].expected(now)))
    return Told(world, job_id, account, audit_job(account, START, now, now), expected)


def audit_agrees(it: Told) -> Iterator[str]:
    """Check that `audit` has nothing lost, doubled or unasked, and has the same counts as `why`."""
    tally = it.tally
    if tally.has_faults:
        yield f"audit: lost {tally.lost}, doubled {tally.doubled}, unasked {tally.unasked}"
    if tally.expected != len(it.expected):
        yield f"audit expects {tally.expected} ticks of {it.job_id}, not {len(it.expected)}"
    said = Counter(it.why(tick) for tick in it.expected)
    skipped, missed = sum(tally.skipped.values()), sum(tally.missed.values())
    counts = {"ok": tally.ok, "failed": tally.failed, "skipped": skipped, "missed": missed}
    counts["open"] = tally.open
    if said != Counter({status: number for status, number in counts.items() if number}):
        yield f"audit counts {counts}, why says {dict(said)}"


def going_agrees(world: World) -> Iterator[str]:
    """Check that runs in flight are shown as running, and that a paused or disabled job has nothing
    due."""
    for work in world.working:
        shown = queries.describe_run(world.redis, RunId.stored(work.run_id)) or {}
        if work.seen and (shown["status"], shown["attempt"]) != ("running", work.seen.attempt):
            yield f"{work.run_id} is going, runs show says {shown['status']}"
    begun = {seen.run_id for seen in world.log if seen.how in ("failed", "died")}
    for run in queries.list_open(world.redis, 1000, status="retrying"):
        if run["run_id"] not in begun:
            yield f"{run['run_id']} is shown as retrying, the service saw no attempt"
    listed = [job_id for job_id, job in world.jobs.items() if job.listed]
    for found in world.registry.read_jobs(listed):
        job = world.jobs[found.job.id]
        if (found.next is None) != job.rests or bool(found.paused) != job.paused:
            yield f"jobs show says that {found.job.id} is next due at {found.next}"
        elif found.next is not None and found.next % job.row["every"]:
            yield f"jobs show says that {found.job.id} is next due at {found.next}, no tick of it"


def ends_agree(it: Told) -> Iterator[str]:
    """Check that all outputs agree about each run, once nothing is open."""
    by_reason: Counter[tuple[str, str | None]] = Counter()
    ended = {}
    for run in queries.list_ended(it.world.redis, it.job_id):
        if "until" not in run:
            ended.setdefault(run["run_id"], run["status"])
    for tick in sorted({*it.expected, *_others(it)}):
        name = RunId(it.job_id, tick)
        found = queries.find_end(it.world.redis, name)
        if found is None:
            yield f"runs show knows nothing of {name}, why says {it.why(tick)}"
            continue
        status = found["status"]
        if tick in it.expected:
            by_reason[status, found["reason"] if status in ("skipped", "missed") else None] += 1
        if it.why(tick) != status:
            yield f"{name} is {status} for runs show, {it.why(tick)} for why"
        if ended.get(name, status) != status:
            yield f"{name} is {status} for runs show, {ended[name]} for runs"
        yield from _dead(it.world, name, status)
        if "action" in it.world.jobs[it.job_id].row:
            yield from _as_seen(it.world, name, found)
        yield from _reasons(it, name, tick, found)
    yield from _counts(it.tally, by_reason)


def _others(it: Told) -> set[float]:
    """Return the runs that no schedule asked for."""
    known = {seen.run_id for seen in it.world.log} | it.world.asked.keys()
    parsed = filter(None, map(RunId.parse, known))
    return {run_id.scheduled_for for run_id in parsed if run_id.job_id == it.job_id}


def _counts(tally: Tally, found: Counter[tuple[str, str | None]]) -> Iterator[str]:
    for status in ("skipped", "missed"):
        counted = dict(getattr(tally, status))
        here = {str(why): n for (s, why), n in found.items() if s == status and why and n}
        if here != counted:
            yield f"{status}: runs show says {here}, audit {counted}"


def _dead(world: World, name: str, status: str) -> Iterator[str]:
    dead = world.redis.zscore(keys.FAILED, name) is not None
    if dead != (status == "failed"):
        yield f"{name} ended {status} and is {'' if dead else 'not '}in the dead list"


def _as_seen(world: World, name: str, found: dict[str, Any]) -> Iterator[str]:
    """Compare the calls of a run with its end and its attempts."""
    seen = [each for each in world.log if each.run_id == name]
    how = [each.how for each in seen]
    if ("ok" in how) != (found["status"] == "ok"):
        yield f"{name} ended {found['status']}, the service saw {how}"
    if how.count("ok") > 1:
        yield f"{name} ran ok twice"
    last = how[-1] if how else "nothing"
    if found["status"] == "failed" and last not in ("failed", "died", "cut off"):
        yield f"{name} ended failed ({found['reason']}), the service saw {last}"
    again = last == "cut off" and name in world.repeated
    if again and "cut off when done again" in LEFT_OUT:
        return
    if found["status"] == "missed" and how:
        yield f"{name} ended missed ({found['reason']}), the service saw {how}"
    if found["status"] == "skipped" and found["reason"] not in STOPS and how:
        yield f"{name} ended skipped ({found['reason']}), the service saw {how}"
    yield from _attempts(world, name, found, seen)


#: Reasons of skipped runs that had begun.
STOPS = ("cancelled", "replaced", "removed", "disabled")


def _attempts(world: World, name: str, found: dict[str, Any], seen: list[Seen]) -> Iterator[str]:
    shown = (queries.describe_run(world.redis, RunId.stored(name)) or {}).get("attempts", [])
    rounds = [[e for e in seen if e.round == n] for n in {e.round for e in seen}] or [[]]
    numbers = [attempt["attempt"] for attempt in shown]
    begun = seen and seen[-1]
    if world.jobs[RunId.stored(name).job_id].removed:
        return  # The account of a removed job has only the last attempt.
    if not begun and "attempts that never were" in LEFT_OUT:
        return
    if begun and begun.how == "died" and "died and stopped" in LEFT_OUT:
        return
    if numbers not in [[each.attempt for each in one] for one in rounds]:
        yield f"{name}: runs show has the attempts {numbers}, the service saw {rounds}"
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"{name}: the attempts are {numbers}"


def _reasons(it: Told, name: str, tick: float, found: dict[str, Any]) -> Iterator[str]:
    """Check that the policies allow the outcome of a tick."""
    status, reason = found["status"], found["reason"]
    late = it.world.finished_at(found) - tick
    if status == "missed" and reason not in OTHERS and late <= GRACE:
        yield f"{name} was missed ({reason}) {late} s after its time"
    if status == "missed" and name not in it.world.asked:
        allowed = {"one": ("coalesced", "outside_window"), "none": ("no_catchup",)}
        policies = it.world.jobs[it.job_id].catchups
        if reason == "outside_window" and late <= min(it.world.jobs[it.job_id].windows):
            yield f"{name} was missed ({reason}) {late} s after its time"
        reasons = {r for p in policies for r in allowed.get(p, ("outside_window",))}
        if reason not in reasons | OTHERS:
            yield f"{name} was missed ({reason}) under {policies}"
    if status == "skipped" and name in it.world.in_turn and reason in ("overlap", "replaced"):
        yield f"{name}, which makes up for a missed tick, was skipped ({reason})"
    if reason == "replaced" and RunId.stored(found["other"]).scheduled_for <= tick:
        yield f"{name} was replaced by {found['other']}, which is older"


#: Reasons of missed ticks that do not depend on the policy of the job.
OTHERS = {"edited", "paused", "removed", "set_aside"}


def messages_agree(world: World) -> Iterator[str]:
    """Check that each event is notified once, that the last message of a run has its end, and that
    no end is missing."""
    messages = [json.loads(line) for line in world.redis.lrange(MESSAGES, 0, -1)]
    doubled = [each for each, n in Counter(m["id"] for m in messages).items() if n > 1]
    if doubled:
        yield f"told twice: {doubled}"
    last = {}
    for message in messages:
        name = message["run_id"]
        if not (message["event"] == "skipped" and name in world.repeated and name in last):
            last[name] = message
    for name, message in last.items():
        found = queries.find_end(world.redis, RunId.stored(name))
        said = END_OF.get(message["event"])
        if found is None:
            yield f"{name} was told as {message['event']}, runs show knows nothing of it"
        elif said is None:
            if "end told" not in LEFT_OUT and world.jobs[RunId.stored(name).job_id].listed:
                yield f"{name} was told to be tried again, and not that it ended {found['status']}"
        elif said == "skipped" and name in world.repeated:
            continue  # This is a skipped rerun, which does not change the earlier outcome.
        elif found["reason"] == "removed":
            continue  # Without a promise, nobody is notified of it.
        elif said != found["status"] and "untold" not in found:
            yield f"{name} was told as {said}, runs show says {found['status']}"
    yield from _untold(world, last)


def _untold(world: World, last: dict[str, Any]) -> Iterator[str]:
    for name in {seen.run_id for seen in world.log}:
        found = queries.find_end(world.redis, RunId.stored(name))
        if found and found["reason"] != "removed" and "untold" not in found and name not in last:
            yield f"{name} ended {found['status']} and nobody was told"
