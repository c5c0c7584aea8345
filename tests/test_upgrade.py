"""An upgrade in place: the data that the version of commit d712e39 left in Redis is read, and its
runs end.

data/upgrade.json has the keys and the outputs of that version. data/make_upgrade.py explains how it
was made.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import explain_tick
from cron_tasks.audit.tally import audit_job
from cron_tasks.beat.due import judge_page, read_page
from cron_tasks.beat.sweeper import sweep_overdue
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Claim
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, Kind, State
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import commands, queries
from cron_tasks.runs.outcomes import conclude, conclude_without_job
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings
from cron_tasks.store import keys

LEFT = json.loads((Path(__file__).parent / "data" / "upgrade.json").read_text())
NOW: float = LEFT["now"]
SEEN: dict[str, Any] = LEFT["seen"]
START = 1_800_000_000.0 // 86_400 * 86_400
#: Runs in flight, by the Celery task or the claim that has them.
HELD = {job: f"host#{job}" for job in ("skip", "queue", "replace")} | {"task": "task:task-1"}


def restore(redis: Redis) -> None:
    for key, found in LEFT["keys"].items():
        value = found["value"]
        match found["type"]:
            case "string":
                redis.set(key, value)
            case "hash":
                redis.hset(key, mapping=value)
            case "list":
                redis.rpush(key, *value)
            case "zset":
                redis.zadd(key, dict(value))
        if found["ttl"] > 0:
            redis.expire(key, found["ttl"])


class Upgraded:
    """This version, with the data of the previous one."""

    def __init__(self, redis: Redis) -> None:
        restore(redis)
        self.redis = redis
        self.settings = Settings()
        self.ledger = Ledger(redis, self.settings)
        self.now = NOW
        self.ended: set[str] = set()

    def opened(self) -> dict[RunId, State]:
        stored = self.redis.hgetall(keys.OPEN)
        return {RunId.stored(run): State.parse(state) for run, state in stored.items()}

    def work(self) -> None:
        """Sweep, and let workers run with success whatever they may begin."""
        before = self.opened().keys()
        sweep_overdue(
            self.ledger, self.now, self.settings, lambda _: 0, lambda _: None, lambda _: None
        )
        for run_id, state in self.opened().items():
            if state.kind is Kind.PENDING:
                for claim in self.ledger.claim("new#1", self.now, [run_id]):
                    self.end(claim)
        self.ended |= before - self.opened().keys()

    def end(self, claim: Claim) -> None:
        by = Attempt(claim.attempt, self.now, self.now, "new")
        reason, _, other = claim.verdict.partition("|")
        result = Result("skipped", reason, other=other) if reason else Result("ok")
        try:
            job = Job.from_document(claim.document)
        except ValueError:
            outcome = conclude_without_job(claim, result, by, self.settings)
        else:
            run = Run(job, claim.run_id, claim.run_id.scheduled_for, claim.attempt)
            outcome = conclude(run, claim, result, by, self.settings, 0.5)
        assert self.ledger.finish(self.now, [outcome]) == [claim.run_id]

    def audit(self, job_id: str, until: float) -> dict[str, Any]:
        (account,) = read_accounts(
            self.redis, [job_id], days_between(START, until), read_open_ticks(self.redis)
        )
        return asdict(audit_job(account, START, until, until))


@pytest.fixture
def it(redis: Redis) -> Upgraded:
    return Upgraded(redis)


def plain(runs: Any) -> Any:
    """Return runs as JSON, without the sentence that each version words differently."""
    read = json.loads(json.dumps(runs))
    return [{name: run[name] for name in run if name != "because"} for run in read]


def test_all_kinds_and_flags_of_open_runs_are_there(it: Upgraded) -> None:
    states = it.opened().values()
    assert {state.kind for state in states} == set(Kind)
    assert {flag for state in states for flag in state.flags} == set(Flag)


def test_the_commands_show_what_the_version_before_showed(it: Upgraded) -> None:
    for job_id, shown in SEEN["ended"].items():
        assert plain(list(queries.list_ended(it.redis, job_id))) == plain(shown)
    assert plain(list(queries.list_ended(it.redis, None, "failed"))) == plain(SEEN["failed"])
    assert plain(queries.list_open(it.redis, 1000)) == plain(SEEN["open"])
    for run in SEEN["open"]:
        found = queries.describe_run(it.redis, RunId.stored(run["run_id"]))
        assert found
        assert found["status"] == run["status"]


def test_the_audit_and_why_agree_with_the_version_before(it: Upgraded) -> None:
    for job_id, tally in SEEN["audit"].items():
        assert it.audit(job_id, NOW) == tally
        (account,) = read_accounts(
            it.redis, [job_id], days_between(START, NOW), read_open_ticks(it.redis)
        )
        for half, (due, status) in enumerate(SEEN["why"][job_id], 1):
            answer = explain_tick(account, {}, START + half * 1800, NOW, "UTC")
            assert (answer.due, answer.status) == (due, status)


def test_what_was_in_flight_is_finished_by_its_holder(it: Upgraded) -> None:
    for job_id, holder in HELD.items():
        run_id = RunId(job_id, START + 5 * 3600)
        found = queries.describe_run(it.redis, run_id)
        assert found
        assert found["holder"] == holder
        ends = it.ledger.renew(holder, NOW, [run_id])
        assert ends == ({} if job_id != "replace" else {run_id: f"replaced|{_later(run_id)}"})
        state = it.opened()[run_id]
        (document,) = it.redis.hmget(keys.entry_key(job_id), "job")
        it.end(Claim(run_id, state, document, ""))
    assert not it.opened().keys() & {RunId(job_id, START + 5 * 3600) for job_id in HELD}


def _later(run_id: RunId) -> str:
    return RunId(run_id.job_id, run_id.scheduled_for + 5)


def test_every_open_run_comes_to_its_end(it: Upgraded) -> None:
    opened = set(it.opened())
    for _ in range(8):
        it.now += 600
        it.work()
    assert not it.opened()
    assert it.ended >= opened
    for run_id in opened:
        assert queries.find_end(it.redis, run_id), f"{run_id} has left no record"
    assert not it.redis.exists(keys.DEADLINES, keys.ATTEMPTS, keys.GOING, keys.QUEUED)
    for job_id in SEEN["audit"]:
        tally = it.audit(job_id, NOW)
        assert (tally["open"], tally["lost"], tally["doubled"]) == (0, [], [])
        assert tally["expected"] == SEEN["audit"][job_id]["expected"]


def test_beat_fires_what_comes_next_once(it: Upgraded) -> None:
    """At seven o'clock. That fire time of the job `notify` is to be skipped."""
    seven = START + 7 * 3600
    jobs = set(map(keys.job_id_of, it.redis.zrange(keys.SCHEDULE, 0, -1)))
    for now in (seven - 3600, seven):
        batch = judge_page(read_page(it.redis, now), now, it.settings)
        assert not batch.broken
        fired = it.ledger.advance("me", now, batch.advances, batch.edits)
        assert {run_id.job_id for run_id in fired} <= jobs
        again = it.ledger.advance("me", now, batch.advances, batch.edits)
        assert again == []
    assert RunId("notify", seven) not in fired
    assert RunId("skip", seven) in fired
    assert (skipped := queries.find_end(it.redis, RunId("notify", seven)))
    assert (skipped["status"], skipped["reason"]) == ("skipped", "by_hand")


def test_people_retry_cancel_and_resume(it: Upgraded) -> None:
    failed = RunId("stale", START + 2 * 3600)
    assert commands.reopen(it.redis, it.ledger, failed, NOW)[0] == failed
    waiting = RunId("allow", START + 5 * 3600)
    assert commands.cancel(it.redis, it.ledger, waiting, NOW, it.settings)
    found = queries.find_end(it.redis, waiting)
    assert found
    assert (found["status"], found["reason"], len(found["attempts"])) == ("skipped", "cancelled", 1)
    with pytest.raises(RunUnfit, match="ended ok"):
        commands.reopen(it.redis, it.ledger, RunId("skip", START + 3600), NOW)
    assert Registry(it.redis).resume("rests", NOW)
