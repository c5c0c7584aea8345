"""Fill a Valkey with the version of commit d712e39, and print its contents as JSON (upgrade.json).

It was run once, in a checkout of that commit whose requirements are installed:

    PYTHONPATH=.:tests python make_upgrade.py > upgrade.json

This version cannot run it: the modules that it imports have moved since. test_upgrade.py reads the
result. `seen` is the output of that version for these keys.
"""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from applying import apply
from cron_tasks.account import audit, days_of, read, read_open
from cron_tasks.due import judge_page, read_page
from cron_tasks.limits import Limits
from cron_tasks.outcomes import Attempt, Result, conclude
from cron_tasks.overtaken import tell_overtaken
from cron_tasks.plan import Policy, plan
from cron_tasks.redis_client import connect
from cron_tasks.ticks import run_id
from cron_tasks.why import why
from processes import Valkey
from redis import Redis

from cron_tasks import names, runs, skips
from cron_tasks.jobs import Job
from cron_tasks.ledger import Ledger
from cron_tasks.plugins import Run
from cron_tasks.registry import Registry
from cron_tasks.settings import Settings

START = 1_800_000_000.0 // 86_400 * 86_400
HOUR = 3600.0
HTTP = {"action": {"type": "http", "url": "http://example.com/"}, "retry": {"max_attempts": 2}}
LATE_IS_UNTOLD = {"on": ["failure"], "stale_after": 9}
POLICIES = ("skip", "queue", "replace", "allow")
ROWS: list[dict[str, Any]] = [
    {"id": "notify", "name": "Water the plants", "every": 3600, "notify": {"on": ["success"]}},
    *({"id": name, "name": name, "every": 3600, "overlap": name, **HTTP} for name in POLICIES),
    {"id": "task", "name": "task", "every": 3600, "action": {"type": "task", "name": "other.add"}},
    {"id": "cron", "name": "cron", "cron_expression": "30 * * * *", "timezone": "Europe/Berlin"},
    {"id": "once", "name": "once", "run_at": "2027-01-16T00:00:00Z"},
    {"id": "rule", "name": "rule", "rrule": "FREQ=HOURLY", "start_at": "2027-01-15T00:10:00Z"},
    {"id": "promised", "name": "promised", "every": 3600, "notify": {"on": ["retry"]}, **HTTP},
    {"id": "stale", "name": "stale", "every": 3600, "notify": LATE_IS_UNTOLD},
    {"id": "gone", "name": "gone", "every": 3600, **HTTP},
    {"id": "rests", "name": "rests", "every": 3600, **HTTP},
    {"id": "off", "name": "off", "every": 3600, "enabled": False},
]
OK, FAILED = Result("ok", output="well"), Result("failed", error="HTTP 500", final=True)
AGAIN = Result("failed", error="HTTP 503")


class Past:
    """That version, and the events in its system."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.settings = Settings()
        self.registry = Registry(redis)
        self.ledger = Ledger(redis, self.settings)
        redis.set(names.LEADER_LOCK, "me", ex=86_400)

    def sync(self, rows: list[dict[str, Any]], now: float) -> None:
        listed = [(f"row {n}", row) for n, row in enumerate(rows)]
        policy = Policy(force=True, limits=Limits(("*",)))
        changes = plan(self.registry.fingerprints(), listed, policy)
        assert not changes.rejected, changes.rejected

        def tell(overtaken: Any, reason: str) -> None:
            tell_overtaken(self.ledger, self.settings, overtaken, reason, now)

        apply(self.redis, changes, now, tell)
        self.ledger.let_go(set(changes.removed))

    def beat(self, now: float) -> None:
        batch = judge_page(read_page(self.redis, now), now, self.settings)
        self.ledger.advance("me", now, batch.advances, batch.edits)

    def claim(self, job: str, when: float, now: float, holder: str = "host#1") -> Any:
        found = self.ledger.claim(holder, now, [(run_id(job, when), job)])
        return found[0] if found else None

    def end(self, claim: Any, result: Result, now: float) -> None:
        job = Job.from_document(claim.document)
        when = float(claim.run_id and _when(claim.run_id))
        run, by = (
            Run(job, claim.run_id, when, claim.attempt),
            Attempt(claim.attempt, now - 2, now, "host"),
        )
        outcome = conclude(run, claim, result, by, self.settings, 0.5)
        assert self.ledger.finish(now, [outcome]) == [claim.run_id]


def _when(name: str) -> float:
    from cron_tasks.ticks import parse_run_id

    return (parse_run_id(name) or ("", 0.0))[1]


def fill(it: Past) -> float:
    """Let five hours pass. The last fire times leave open runs in every state, with every flag."""
    it.sync(ROWS, START)
    slow = (*POLICIES, "task", "promised", "gone", "rests")
    for hour in (1, 2, 3):
        now = START + hour * HOUR
        for quarter in (0, 600, 1800):
            it.beat(now + quarter)
        for job in ("notify", "stale", *slow):
            result = FAILED if hour == 2 and job in ("skip", "stale", "gone") else OK
            late = 20 if job == "stale" else 2
            it.end(it.claim(job, now, now + late), result, now + late + 2)
        it.end(it.claim("rule", now + 600, now + 602), OK, now + 603)
        it.end(it.claim("cron", now + 1800, now + 1802), OK, now + 1803)
    # A failed run with a rerun that ends ok, and a run whose claim only concludes it.
    again = run_id("skip", START + 2 * HOUR)
    it.ledger.open([again], START + 3.6 * HOUR, again=True)
    it.end(it.claim("skip", START + 2 * HOUR, START + 3.6 * HOUR), OK, START + 3.6 * HOUR + 2)
    # At four nothing was running. Beat comes at 4:50, and its catch-up policy decides.
    skips.add(it.redis, "notify", START + 5 * HOUR, START + 3.7 * HOUR)
    it.beat(START + 4 * HOUR + 3000)
    for job in ("notify", "stale", *slow):
        if claim := it.claim(job, START + 4 * HOUR, START + 4 * HOUR + 3001):
            # Too late to notify: the failure counts, and nobody knows of it.
            it.end(claim, FAILED if job == "stale" else OK, START + 4 * HOUR + 3002)
    # An edit, a pause and a removal overtake the fire time at five.
    five = START + 5 * HOUR
    rows = [row for row in ROWS if row["id"] != "gone"]
    rows = [row | {"every": 1800} if row["id"] == "stale" else row for row in rows]
    it.sync(rows, five + 1)
    tell_overtaken(
        it.ledger, it.settings, it.registry.pause("rests", "stocktaking", five + 1), "paused", five
    )
    it.beat(five + 2)
    leave_open(it, five)
    skips.add(it.redis, "notify", START + 7 * HOUR, five + 3)
    return five + 60


def leave_open(it: Past, five: float) -> None:
    running = it.claim("skip", five, five + 3, "host#skip")
    assert running.state == "r|1||host#skip"
    first = it.claim("queue", five, five + 3, "host#queue")
    assert first.state.startswith("r")
    later = run_id("queue", five + 5)
    it.ledger.open([later], five + 5)
    assert it.ledger.claim("host#later", five + 6, [(later, "queue")]) == []
    line = run_id("queue", five - 30)
    it.ledger.open([line], five + 5, again=True, in_turn=True)
    assert it.ledger.claim("host#line", five + 6, [(line, "queue")]) == []
    assert it.claim("replace", five, five + 3, "host#replace")
    other = run_id("replace", five + 5)
    it.ledger.open([other], five + 5)
    assert it.ledger.claim("host#other", five + 6, [(other, "replace")]) == []
    it.end(it.claim("allow", five, five + 3), AGAIN, five + 4)
    it.end(it.claim("promised", five, five + 3), AGAIN, five + 4)
    claim = it.claim("task", five, five + 3, "host#task")
    assert it.ledger.hand_over(claim, claim.handed_to("task-1"), five + 3600) == ""
    by_hand = run_id("notify", five + 7)
    it.ledger.open([by_hand], five + 7)
    it.ledger.hand_back(five + 8, [(by_hand, "p|1|h|")], sent_again=True)
    cancelled = run_id("allow", five + 9)
    it.ledger.open([cancelled], five + 9)
    it.ledger.stop([cancelled], "cancelled|")
    kept = run_id("rests", five + 10)
    it.ledger.open([kept], five + 10)


def dump(redis: Redis) -> dict[str, Any]:
    readers = {
        "string": redis.get,
        "hash": redis.hgetall,
        "list": lambda key: redis.lrange(key, 0, -1),
        "set": lambda key: sorted(redis.smembers(key)),
        "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    found = {}
    for key in sorted(redis.scan_iter()):
        kind = redis.type(key)
        found[key] = {"type": kind, "ttl": redis.ttl(key), "value": readers[kind](key)}
    return found


def seen(it: Past, now: float) -> dict[str, Any]:
    """The output of that version: the audit and `why` of each job, and all runs."""
    tallies, sentences = {}, {}
    jobs = [row["id"] for row in ROWS]
    accounts = read(it.redis, jobs, days_of(START, now), read_open(it.redis))
    for account in accounts:
        tallies[account.job_id] = asdict(audit(account, START, now, now))
        statuses = []
        for half in range(1, 13):
            answer = why(account, {}, START + half * HOUR / 2, now, "UTC")
            statuses.append([answer.due, answer.status])
        sentences[account.job_id] = statuses
    return {
        "audit": tallies,
        "why": sentences,
        "ended": {job: list(runs.ended(it.redis, job)) for job in jobs},
        "open": runs.still_open(it.redis, 1000),
        "failed": list(runs.ended(it.redis, None, "failed")),
    }


def main() -> None:
    server = Valkey(Path(tempfile.mkdtemp()))
    try:
        it = Past(connect(server.url))
        now = fill(it)
        shown = seen(it, now)
        json.dump({"now": now, "keys": dump(it.redis), "seen": shown}, sys.stdout, indent=0)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
