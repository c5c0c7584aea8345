"""The ledger's state machine, run at random beside a model of a few lines.

Beats, workers and sweeps take turns in any order, with stale tokens, repeated messages, dead
workers, edited, paused and removed jobs. Single runs and batches are mixed: a run may be opened in
a batch and end as a single run. Each tick must end exactly once and be notified exactly once.
"""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from cron_tasks.ledger.batch import Batch, Departure
from cron_tasks.ledger.batches import read_batched
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
        #: Batches as workers have read them, each with the edit of the registry by then.
        self.read: list[tuple[Batch, int]] = []
        self.batches: list[str] = []
        #: The last edit of each job.
        self.edit_of: dict[str, int] = {}
        for job in JOBS:
            self.add(job)

    def add(self, job: str) -> None:
        key = keys.entry_key(job)
        self.redis.hset(key, mapping={"definition": "{}", "meta": "{}", "job": "{}", "edit": 0})
        self.redis.zadd(keys.SCHEDULE, {key: self.now + 1})

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(job=jobs, token=st.sampled_from(("leader", "stale")), lag=st.integers(0, 1))
    def advance(self, job: str, token: str, lag: int) -> None:
        """Let a beat advance a job. A late beat read its score before another one advanced the
        job."""
        key = keys.entry_key(job)
        score = self.redis.zscore(keys.SCHEDULE, key)
        if score is None:
            return
        due = score - lag
        tick = RunId(job, due)
        step = Advance(key, repr(due), due + 1, "{}", [tick], job)
        try:
            opened = self.ledger.advance(token, self.now, [step], self.edits)
        except LockLost:
            assert token == "stale"
            return
        assert token == "leader"
        assert opened == ([] if lag else [tick])
        assert not self.opened & set(opened)
        self.opened |= set(opened)

    @property
    def edits(self) -> int:
        return int(self.redis.get(keys.EDITS) or 0)

    @rule(token=st.sampled_from(("leader", "stale")), behind=st.integers(0, 1))
    def advance_batch(self, token: str, behind: int) -> None:
        """Let a beat advance all jobs that are due at one time. Its page may be older than an
        edit."""
        scores = dict(self.redis.zrange(keys.SCHEDULE, 0, -1, withscores=True))
        if not scores:
            return
        due = min(scores.values())
        jobs = [job for job in JOBS if job in {keys.job_id_of(key) for key in scores}]
        departure = Departure(repr(due), {repr(due + 1): jobs}, {})
        batch_id, edits = departure.make_id(), max(self.edits - behind, 0)
        try:
            left = self.ledger.advance_batch(token, self.now, batch_id, departure, edits)
        except LockLost:
            assert token == "stale"
            return
        assert token == "leader"
        known = {job for job in jobs if self.edit_of.get(job, 0) <= edits}
        opened = {job for job in known if scores[keys.entry_key(job)] == due}
        assert set(left) == set(jobs) - opened
        ticks = {RunId(job, due) for job in opened}
        assert not self.opened & ticks
        self.opened |= ticks
        self.batches.append(batch_id)
        again = self.ledger.advance_batch(token, self.now, batch_id, departure, edits)
        assert set(again) == set(jobs), "a call whose answer was lost is repeated"

    @rule(data=st.data())
    def batch_arrives(self, data: Any) -> None:
        """Deliver any batch, any number of times, even one that ended long ago."""
        if self.batches:
            found = self.ledger.read_batch(data.draw(st.sampled_from(self.batches)))
            self.read += [found] if found else []

    @rule(data=st.data())
    def batch_is_concluded(self, data: Any) -> None:
        """Conclude a batch by a worker that read it at any time before."""
        if not self.read:
            return
        batch, _, _ = data.draw(st.sampled_from(self.read))
        members = set(self.ledger.read_batch(batch.id)[0].job_ids if self.is_open(batch) else ())
        told = [(QUEUE, False, [(tick.job_id, tick.encode()) for tick in batch.run_ids])]
        left = self.ledger.conclude(batch, self.now, self.now, b'["x",0,0,"w"]', told)
        if members != set(batch.job_ids):
            assert left is None, "it has other members than the worker saw"
            return
        special = {job for job in members if not self.is_plain(job, batch.edits)}
        assert left is not None
        assert {tick.job_id for tick in left} == special
        self.ended |= set(batch.run_ids) - set(left)

    def is_open(self, batch: Batch) -> bool:
        return bool(self.redis.hexists(keys.BATCHES, batch.id))

    def is_plain(self, job: str, judged_at: int) -> bool:
        exists = self.redis.exists(keys.entry_key(job))
        failing = self.redis.hexists(keys.FAILING, job)
        return bool(exists and self.edit_of.get(job, 0) <= judged_at and not failing)

    @rule(job=jobs)
    def job_is_edited(self, job: str) -> None:
        """Edit, pause or resume a job, or skip one of its fire times. All of these count as an
        edit."""
        if self.redis.exists(keys.entry_key(job)):
            self.edit_of[job] = self.redis.incr(keys.EDITS)
            self.redis.hset(keys.entry_key(job), "edit", self.edit_of[job])

    @rule(job=jobs)
    def job_has_failed(self, job: str) -> None:
        self.redis.hset(keys.FAILING, job, 1)

    @rule(data=st.data())
    def run_is_wanted_alone(self, data: Any) -> None:
        """Take a run out of its batch, like a cancellation or a removal."""
        if self.opened:
            self.ledger.take_out([data.draw(st.sampled_from(sorted(self.opened)))])

    @rule(worker=workers, data=st.data())
    def message_arrives(self, worker: str, data: Any) -> None:
        """Deliver any message, any number of times, even of ticks that ended long ago."""
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
        """Delegate twice, like after a lost answer."""
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
        """Deliver the outcome of any task, any number of times, even of one that timed out long
        ago."""
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
        for batch in self.ledger.overdue_batches(self.now):
            self.ledger.take_out(batch.run_ids)
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
        self.redis.incr(keys.EDITS)
        self.redis.delete(keys.entry_key(job))
        self.redis.hdel(keys.FIRED, job)
        self.redis.zrem(keys.SCHEDULE, keys.entry_key(job))

    @rule(job=jobs)
    def job_comes_back(self, job: str) -> None:
        if not self.redis.exists(keys.entry_key(job)):
            # As a sync does, which lets no job be due at or before what it has fired.
            fired = [tick.scheduled_for for tick in self.opened if tick.job_id == job]
            self.now = max([self.now, *fired]) + 1
            self.add(job)
            self.job_is_edited(job)

    @invariant()
    def each_tick_is_open_or_ended(self) -> None:
        singly, batched = set(self.redis.hkeys(keys.OPEN)), read_batched(self.redis).keys()
        assert not singly & batched
        still_open = singly | batched
        assert still_open <= self.opened
        assert not still_open & self.ended
        assert self.opened - still_open == self.ended
        looked_after = singly | set(self.redis.hkeys(keys.BATCHES))
        assert set(self.redis.zrange(keys.DEADLINES, 0, -1)) == looked_after

    @invariant()
    def each_is_told_at_most_once(self) -> None:
        told = Counter(self.redis.lrange(QUEUE, 0, -1))
        assert all(count == 1 for count in told.values())

    def teardown(self) -> None:
        """In the end, sweeps and one worker bring every tick to its end."""
        for _ in range(3):
            self.now += LEASE + PATIENCE
            self.sweep()
            ticks = list(self.opened - self.ended)
            self.held["w1"] = self.ledger.claim("w1", self.now, ticks) if ticks else []
            self.worker_finishes_all("w1")
        assert not self.redis.exists(keys.OPEN, keys.BATCHES, keys.DEADLINES)
        self.redis.delete(QUEUE, keys.LEADER_LOCK)


@pytest.mark.usefixtures("redis_url")
def test_every_tick_ends_once_and_is_told_once(redis: Redis) -> None:
    class Machine(LedgerMachine):
        pass

    Machine.redis = redis
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
