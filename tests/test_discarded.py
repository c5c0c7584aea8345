"""Runs whose messages workers discard, as Celery does with those of a revoked task."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from helpers import NEVER_DUE, wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import explain_tick
from cron_tasks.beat.sweeper import sweep_overdue
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.ledger import PATIENCE, Ledger
from cron_tasks.ledger.records import Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.tick import Due
from cron_tasks.runs.overdue import MOST_DISCARDED
from cron_tasks.settings import Settings
from cron_tasks.store import keys

NOW = 1_800_000_000.0
TICK = RunId("7", NOW)
ROW = {"id": "7", "name": "x", "every": 60, "notify": {"on": ["skipped", "failure"]}}


class Sweeps:
    """A ledger that is swept, with a queue that holds as many messages as a test says."""

    def __init__(self, redis: Redis, **fields: Any) -> None:
        self.redis = redis
        self.now = NOW
        self.ledger = Ledger(redis, Settings())
        self.published: list[str] = []
        job = validate_row(ROW | fields, timezone="UTC")
        assert isinstance(job, Job)
        redis.hset(keys.entry_key("7"), "job", job.to_document())

    def sweep(self, times: int = 1, waiting: int = 0) -> None:
        for _ in range(times):
            self.now += PATIENCE + 1
            sweep_overdue(
                self.ledger, self.now, Settings(), lambda _: waiting, self.publish, lambda _: None
            )

    def publish(self, due: Sequence[Due]) -> None:
        self.published += [tick.run_id for tick in due]

    def state(self) -> str | None:
        return self.redis.hget(keys.OPEN, TICK)

    def record(self) -> tuple[str, str, str]:
        line = json.loads(self.ledger.history("7")[0])
        return line["status"], line["reason"], line["error"]

    def why(self) -> str:
        (account,) = read_accounts(
            self.redis, ["7"], days_between(NOW, NOW), read_open_ticks(self.redis)
        )
        return explain_tick(account, {}, NOW, self.now, "UTC").sentence


@pytest.mark.parametrize("state", ["p|1|h|", "p|1|q|"])
def test_a_run_that_no_worker_claims_ends_with_its_reason(redis: Redis, state: str) -> None:
    swept = Sweeps(redis)
    redis.hset(keys.OPEN, TICK, state)
    redis.zadd(keys.DEADLINES, {TICK: NOW})
    swept.sweep(MOST_DISCARDED)
    assert swept.published == [TICK] * MOST_DISCARDED
    assert swept.state() == f"{state}{MOST_DISCARDED}"
    swept.sweep()
    assert swept.published == [TICK] * MOST_DISCARDED
    assert swept.record() == ("skipped", "discarded", None)
    assert "discarded its message again and again: was it revoked?" in swept.why()
    assert json.loads(redis.lindex("queue:to_telegram", 0))["event"] == "skipped"
    assert not redis.exists(keys.OPEN, keys.DEADLINES)


def test_a_run_that_is_done_again_and_discarded_stays_failed(redis: Redis) -> None:
    swept = Sweeps(redis)
    failed = json.dumps({"run_id": TICK, "status": "failed", "reason": None, "error": "HTTP 500"})
    redis.lpush(keys.HISTORY_PREFIX + "7", failed)
    redis.expire(keys.HISTORY_PREFIX + "7", 60)
    redis.zadd(keys.FAILED, {TICK: NOW})
    redis.expire(keys.FAILED, 60)
    swept.ledger.open([TICK], NOW, again=True)
    swept.sweep(MOST_DISCARDED + 1)
    assert swept.state() is None
    assert swept.record() == ("failed", None, "HTTP 500")
    assert redis.zscore(keys.FAILED, TICK) == NOW
    assert json.loads(redis.lindex(keys.RECENT, 0))["reason"] == "discarded"


def test_a_further_attempt_that_no_worker_claims_has_failed(redis: Redis) -> None:
    swept = Sweeps(redis, retry={"max_attempts": 3})
    swept.ledger.open([TICK], NOW)
    (claim,) = swept.ledger.claim("w#1", NOW, [TICK])
    failed = json.dumps([{"attempt": 1, "error": "HTTP 500", "started_at": NOW}]).encode()
    swept.ledger.finish(NOW, [Outcome(TICK, "7", claim.state, failed, (), "retry", NOW + 1)])
    swept.sweep(MOST_DISCARDED + 1)
    assert swept.state() == f"p|2|h|{MOST_DISCARDED}"
    swept.sweep()
    assert swept.record() == ("failed", "discarded", "HTTP 500")
    assert "failed: HTTP 500; it was not retried because workers" in swept.why()


@pytest.mark.parametrize("waiting", [1, 20_000])
def test_where_no_worker_takes_messages_it_waits(redis: Redis, waiting: int) -> None:
    swept = Sweeps(redis)
    swept.ledger.open([TICK], NOW)
    swept.sweep(3)
    swept.sweep(50, waiting)
    assert swept.state() == "p|1|h|3"
    (claim,) = swept.ledger.claim("w#1", swept.now, [TICK])
    assert claim.state == "r|1|h|w#1"


def test_a_tick_that_may_be_too_late_ends_as_missed(redis: Redis) -> None:
    swept = Sweeps(redis, catchup={"policy": "all", "window": 120})
    redis.hset(keys.OPEN, TICK, "p|1||")
    redis.zadd(keys.DEADLINES, {TICK: NOW})
    swept.sweep(22)
    assert swept.record() == ("missed", "outside_window", None)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("p|1||", "waits for a worker"),
        ("p|1|h|4", "waits for a worker"),
        ("p|1|q|", "waits for its turn"),
        ("p|2||", "failed and waits for a worker for its next attempt"),
        ("q|1|q|", "is queued behind a running run of the same job"),
        ("q|2|q|", "failed and is queued behind a running run of the same job"),
        ("w|1|q|", "waits for its turn"),
        ("w|1||", "waits for its turn"),
        ("w|2||", "failed and waits for its next attempt"),
        ("w|3|hq|", "failed and waits for its next attempt"),
        ("r|1||w#1", "is running"),
        ("r|2|q|task:1", "is running"),
    ],
)
def test_why_says_of_each_state_what_is_so(redis: Redis, state: str, sentence: str) -> None:
    swept = Sweeps(redis)
    redis.hset(keys.OPEN, TICK, state)
    assert swept.why().endswith(f" and {sentence}")


def test_a_revoked_run_by_hand_ends(redis: Redis, celery: Celery, rest: RestServer) -> None:
    rest.jobs = [{name: ROW[name] for name in ("id", "name", "notify")} | NEVER_DUE]
    worker = celery.worker()
    celery.beat()
    wait_until(lambda: redis.exists(keys.entry_key("7")), "the job")
    worker.wait_for(" ready.")
    asked_for = RunId.stored("7@2026-01-01T00:00:00.123Z")
    assert asked_for.job_id == "7"
    revoke = ("control", "--destination", "w0@test", "--timeout", "10", "revoke", asked_for)
    # A worker that is ready may not listen yet.
    wait_until(lambda: celery.run(*revoke).returncode == 0, "the answer of the worker")
    worker.wait_for("revoked")
    assert Ledger(redis, Settings()).open([asked_for], 0) == [asked_for]

    def ended() -> bool:
        if not redis.llen("cron_tasks"):
            redis.zadd(keys.DEADLINES, {asked_for: 0}, xx=True)
        return not redis.exists(keys.OPEN)

    wait_until(ended, "the run to end")
    line = json.loads(redis.lindex(keys.HISTORY_PREFIX + "7", 0))
    assert (line["run_id"], line["status"], line["reason"]) == (asked_for, "skipped", "discarded")
    assert f"Discarding revoked task: {keys.RUN_TASK}[{asked_for}]" in worker.output
