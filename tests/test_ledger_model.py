"""The ledger's state machine, walked at random beside a model of a few lines.

Beats, workers and sweeps take turns in any order, with stale tokens, repeated messages, dead
workers and removed jobs. Each tick must end exactly once and be told exactly once.
"""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from cron_tasks.ledger.ledger import LEASE, PATIENCE, Ledger, LockLost
from cron_tasks.ledger.records import Advance, Claim, Message, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.settings import Settings
from cron_tasks.store import keys

JOBS = ("1", "2", "a@b")
START = 1_800_000_000.0
QUEUE = "queue:test"

jobs = st.sampled_from(JOBS)
workers = st.sampled_from(("w1", "w2", "w3"))


class LedgerMachine(RuleBasedStateMachine):
    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.ledger = Ledger(self.redis, Settings(history_runs=5))
        self.now = START
        self.redis.set(keys.LEADER_LOCK, "leader")
        self.opened: set[RunId] = set()
        self.ended: set[RunId] = set()
        self.running: dict[str, str] = {}
        self.claims = 0
        self.held: dict[str, list[Claim]] = {worker: [] for worker in ("w1", "w2", "w3")}
        self.handed: list[Claim] = []
        for job in JOBS:
            self.add(job)

    def add(self, job: str) -> None:
        key = keys.entry_key(job)
        self.redis.hset(key, mapping={"definition": "{}", "meta": "{}", "job": "{}"})
        self.redis.zadd(keys.SCHEDULE, {key: self.now + 1})

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(job=jobs, token=st.sampled_from(("leader", "stale")), lag=st.integers(0, 1))
    def advance(self, job: str, token: str, lag: int) -> None:
        """A beat moves a job on; one that lags read its score before another moved it."""
        key = keys.entry_key(job)
        score = self.redis.zscore(keys.SCHEDULE, key)
        if score is None:
            return
        due = score - lag
        tick = RunId(job, due)
        step = Advance(key, repr(due), due + 1, "{}", [tick], job)
        try:
            opened = self.ledger.advance(token, self.now, [step], 0)
        except LockLost:
            assert token == "stale"
            return
        assert token == "leader"
        assert opened == ([] if lag else [tick])
        assert not self.opened & set(opened)
        self.opened |= set(opened)

    @rule(worker=workers, data=st.data())
    def message_arrives(self, worker: str, data: Any) -> None:
        """Any message, any number of times: also of ticks that ended long ago."""
        if self.opened:
            tick = data.draw(st.sampled_from(sorted(self.opened)))
            self.claims += 1
            holder = f"{worker}#{self.claims}"
            claims = self.ledger.claim(holder, self.now, [tick])
            for claim in claims:
                assert self.running.setdefault(claim.run_id, holder) == holder, "started twice"
            self.held[worker] += claims

    @rule(worker=workers)
    def worker_finishes_all(self, worker: str) -> None:
        claims, self.held[worker] = self.held[worker], []
        outcomes = [
            Outcome(c.run_id, c.run_id.job_id, c.state, b"r", [Message(QUEUE, c.run_id.encode())])
            for c in claims
        ]
        self.finish(outcomes)

    def finish(self, outcomes: list[Outcome]) -> None:
        closed = self.ledger.finish(self.now, outcomes)
        assert not self.ended & set(closed)
        self.ended |= set(closed)
        for tick in closed:
            self.running.pop(tick, None)

    @rule(worker=workers)
    def worker_hands_over(self, worker: str) -> None:
        """Twice, as when the first answer was lost."""
        claims, self.held[worker] = self.held[worker], []
        for claim in claims:
            self.claims += 1
            handed = claim.handed_to(str(self.claims))
            ours = self.running.get(claim.run_id) == claim.state.holder
            for _ in range(2):
                why = self.ledger.hand_over(claim, handed, self.now + 30)
                assert why == ("" if ours else "lost|")
            if ours:
                self.running[claim.run_id] = f"task:{handed.state.task_id}"
                self.handed.append(handed)

    @rule(data=st.data())
    def outcome_arrives(self, data: Any) -> None:
        """Of any task, any number of times: also of those whose time was over long ago."""
        if self.handed:
            task = data.draw(st.sampled_from(self.handed))
            told = [Message(QUEUE, task.run_id.encode())]
            self.finish([Outcome(task.run_id, task.run_id.job_id, task.state, b"r", told)])

    @rule(worker=workers)
    def worker_dies(self, worker: str) -> None:
        self.held[worker] = []

    @rule(worker=workers)
    def worker_renews(self, worker: str) -> None:
        for claim in self.held[worker]:
            holder = claim.state.holder
            lost = self.ledger.renew(holder, self.now, [claim.run_id])
            assert bool(lost) == (self.running.get(claim.run_id) != holder)

    @rule()
    def sweep(self) -> None:
        overdue = self.ledger.overdue(self.now, 100)
        for each in overdue:
            self.running.pop(each.run_id, None)
        self.ended |= {each.run_id for each in overdue if not each.document}
        gone = [o for o in overdue if not o.document]
        self.ledger.finish(
            self.now, [Outcome(o.run_id, o.run_id.job_id, o.state, b"x") for o in gone]
        )
        again = [(o.run_id, o.state) for o in overdue if o.document]
        self.ledger.hand_back(self.now, again)

    @rule(job=jobs)
    def job_is_removed(self, job: str) -> None:
        self.redis.delete(keys.entry_key(job))
        self.redis.zrem(keys.SCHEDULE, keys.entry_key(job))

    @rule(job=jobs)
    def job_comes_back(self, job: str) -> None:
        if not self.redis.exists(keys.entry_key(job)):
            self.now += 1
            self.add(job)

    @invariant()
    def each_tick_is_open_or_ended(self) -> None:
        still_open = set(self.redis.hkeys(keys.OPEN))
        assert still_open <= self.opened
        assert not still_open & self.ended
        assert self.opened - still_open == self.ended
        assert set(self.redis.zrange(keys.DEADLINES, 0, -1)) == still_open

    @invariant()
    def each_is_told_at_most_once(self) -> None:
        told = Counter(self.redis.lrange(QUEUE, 0, -1))
        assert all(count == 1 for count in told.values())

    def teardown(self) -> None:
        """However it went, sweeps and one worker bring every tick to its end."""
        for _ in range(3):
            self.now += LEASE + PATIENCE
            self.sweep()
            ticks = list(self.opened - self.ended)
            self.held["w1"] = self.ledger.claim("w1", self.now, ticks) if ticks else []
            self.worker_finishes_all("w1")
        assert not self.redis.exists(keys.OPEN, keys.DEADLINES)
        self.redis.delete(QUEUE, keys.LEADER_LOCK)


@pytest.mark.usefixtures("redis_url")
def test_every_tick_ends_once_and_is_told_once(redis: Redis) -> None:
    class Machine(LedgerMachine):
        pass

    Machine.redis = redis
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
