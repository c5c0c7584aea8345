"""The table of transitions: each row can happen, and the scripts make no other change."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from cron_tasks.beat.sweeper import sweep_overdue
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger import steps
from cron_tasks.ledger.batch import Batch, Departure, write_line
from cron_tasks.ledger.batches import read_batched
from cron_tasks.ledger.ledger import LEASE, PATIENCE, Ledger
from cron_tasks.ledger.records import Advance, Claim, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, Kind, State
from cron_tasks.ledger.transitions import BATCHED, TRANSITIONS, Transition
from cron_tasks.runs import commands
from cron_tasks.runs.outcomes import conclude, conclude_without_job
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings
from cron_tasks.store import keys

State_ = Kind | str | None
Change = tuple[State_, str, State_]
NOW = 1_800_000_000.0
STEPS = (
    "advance",
    "advance_batch",
    "conclude",
    "take_out",
    "open",
    "claim",
    "renew",
    "hand_over",
    "finish",
    "stop",
    "overdue",
    "hand_back",
)
#: Jobs by their overlap policy; `notify` and `plain` are quick ones.
JOBS = ("notify", "plain", "skip", "queue", "replace", "allow")
QUICK = ("notify", "plain")
FIRST, SECOND, THIRD = (RunId("queue", NOW + second) for second in range(3))


def key(row: Transition) -> Change:
    return row.before, row.step, row.after


@pytest.fixture
def changes(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> set[Change]:
    """Return all changes of states that the scripts of the ledger make."""
    found: set[Change] = set()

    def watch(step: str) -> None:
        original = getattr(steps, step)

        def watched(client: Redis, **values: object) -> object:
            before = _read_states(redis)
            reply = original(client, **values)
            after = _read_states(redis)
            for run_id in before.keys() | after.keys():
                old, new = before.get(run_id), after.get(run_id)
                if old != new:
                    found.add((_kind(old), step, _kind(new)))
            return reply

        monkeypatch.setattr(steps, step, watched)

    for step in STEPS:
        watch(step)
    return found


def _read_states(redis: Redis) -> dict[str, str]:
    """Return the states of all open runs. None may be in a batch and beside it, or in two
    batches."""
    singly, batched = redis.hgetall(keys.OPEN), read_batched(redis)
    assert not singly.keys() & batched.keys()
    records = redis.hgetall(keys.BATCHES).items()
    assert len(batched) == sum(len(Batch.parse(*each).job_ids) for each in records)
    assert all(redis.zscore(keys.DEADLINES, batch_id) for batch_id, _ in records)
    return singly | dict.fromkeys(batched, BATCHED)


def _kind(state: str | None) -> State_:
    return BATCHED if state == BATCHED else State.parse(state).kind if state else None


class World:
    """A ledger, its jobs, and the workers of their runs."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.settings = Settings()
        self.ledger = Ledger(redis, self.settings)
        self.now = NOW
        self.claims: list[Claim] = []
        redis.set(keys.LEADER_LOCK, "me", ex=86_400)
        for job in JOBS:
            self.put(job)

    def put(self, job: str) -> None:
        row = {"id": job, "name": job, "every": 60, "retry": {"max_attempts": 3}}
        if job not in QUICK:
            row |= {"action": {"type": "http", "url": "http://example.com/"}, "overlap": job}
        valid = validate_row(row, timezone="UTC")
        assert isinstance(valid, Job), valid
        self.redis.hset(
            keys.entry_key(job),
            mapping={"definition": "{}", "meta": "{}", "job": valid.to_document(), "edit": 0},
        )

    def remove(self, job: str) -> None:
        self.redis.delete(keys.entry_key(job))
        self.ledger.let_go([job])

    def pause(self, job: str) -> None:
        if self.redis.exists(keys.entry_key(job)):
            self.redis.hset(keys.entry_key(job), "paused", '{"reason": ""}')
            self.ledger.look_after([job], self.now)

    def fire(self, *run_ids: RunId, in_turn: bool = False) -> None:
        entry = keys.entry_key(run_ids[0].job_id)
        self.redis.zadd(keys.SCHEDULE, {entry: self.now})
        step = Advance(entry, repr(self.now), self.now + 60, "{}", run_ids, in_turn=in_turn)
        self.ledger.advance("me", self.now, [step], 0)

    def fire_batch(self, *job_ids: str) -> str:
        """Fire jobs as a batch at this time, and return its id."""
        for job_id in job_ids:
            self.redis.zadd(keys.SCHEDULE, {keys.entry_key(job_id): self.now})
        due = Departure(repr(self.now), {repr(self.now + 60): job_ids}, {})
        batch_id = due.make_id()
        edits = int(self.redis.get(keys.EDITS) or 0)
        self.ledger.advance_batch("me", self.now, batch_id, due, edits)
        return batch_id

    def conclude(self, batch_id: str) -> list[RunId] | None:
        """Conclude a batch like a worker. Return the runs that left it."""
        found = self.ledger.read_batch(batch_id)
        if found is None:
            return None
        batch, _, _ = found
        line = write_line(batch.fire_time, self.now, self.now, "w")
        told = [("queue:x", False, [(job_id, b"told") for job_id in batch.job_ids])]
        return self.ledger.conclude(batch, self.now, self.now, line, told)

    def claim(self, run_id: RunId, holder: str = "w#1") -> Claim | None:
        found = self.ledger.claim(holder, self.now, [run_id])
        self.claims += found
        return found[0] if found else None

    def end(self, claim: Claim, result: Result) -> list[RunId]:
        return self.ledger.finish(self.now, [self.outcome(claim, result)])

    def outcome(self, claim: Claim, result: Result) -> Outcome:
        by = Attempt(claim.attempt, self.now, self.now, "w")
        try:
            job = Job.from_document(claim.document)
        except ValueError:
            return conclude_without_job(claim, result, by, self.settings)
        run = Run(job, claim.run_id, claim.run_id.scheduled_for, claim.attempt)
        return conclude(run, claim, result, by, self.settings, 0.5)

    def delegate(self, claim: Claim) -> Claim:
        task = claim.handed_to("task#1")
        self.ledger.hand_over(claim, task, self.now + 30)
        self.claims.append(task)
        return task

    def sweep(self, waiting: int = 0) -> None:
        sweep_overdue(
            self.ledger,
            self.now,
            self.settings,
            lambda _: waiting,
            lambda _: None,
            lambda _: None,
        )

    def cancel(self, run_id: RunId) -> None:
        try:
            commands.cancel(self.redis, self.ledger, run_id, self.now, self.settings)
        except RunUnfit:
            assert not self.redis.hexists(keys.OPEN, run_id)
            assert run_id not in read_batched(self.redis)

    def opened(self) -> list[RunId]:
        singly = map(RunId.stored, self.redis.hkeys(keys.OPEN))
        return sorted([*singly, *read_batched(self.redis)])

    def going(self, run_id: RunId = FIRST) -> Claim:
        """Fire a run and let a worker begin it."""
        self.fire(run_id)
        claim = self.claim(run_id)
        assert claim
        assert not claim.verdict
        return claim

    def queue(self) -> Claim:
        """Queue SECOND behind FIRST. Return the claim of FIRST."""
        first = self.going()
        self.fire(SECOND)
        assert self.claim(SECOND, "w#2") is None
        return first


OK, FAILED = Result("ok"), Result("failed", error="HTTP 500")
Make = Callable[[World], object]


def repeated_claim_is_queued(it: World) -> None:
    """The run that was queued first is cancelled before the other one's claim is repeated."""
    it.queue()
    it.fire(THIRD)
    claim = it.claim(THIRD, "w#3")
    assert claim
    assert claim.verdict == f"overlap|{SECOND}"
    it.cancel(SECOND)
    it.claim(THIRD, "w#3")


def repeated_claim_waits(it: World) -> None:
    """The blocking run has ended before the claim is repeated, and another one goes first."""
    first = it.going(RunId("skip", NOW))
    second, third = RunId("skip", NOW + 1), RunId("skip", NOW + 2)
    it.fire(second, third)
    claim = it.claim(third, "w#3")
    assert claim
    assert claim.verdict.startswith("overlap|")
    it.end(first, OK)
    it.claim(third, "w#3")


def by_time(it: World, waiting: int = 0) -> None:
    it.now += LEASE + PATIENCE
    it.sweep(waiting)


SCENARIOS: dict[Change, Make] = {
    (None, "advance", Kind.PENDING): lambda it: it.fire(FIRST),
    (None, "advance_batch", BATCHED): lambda it: it.fire_batch("plain", "notify"),
    (BATCHED, "conclude", None): lambda it: it.conclude(it.fire_batch("plain", "notify")),
    (BATCHED, "conclude", Kind.PENDING): lambda it: (
        it.redis.hset(keys.FAILING, "plain", 1),
        it.conclude(it.fire_batch("plain", "notify")),
    ),
    (BATCHED, "take_out", Kind.PENDING): lambda it: (it.fire_batch("plain"), by_time(it)),
    (None, "open", Kind.PENDING): lambda it: it.ledger.open([FIRST], NOW),
    (Kind.PENDING, "claim", Kind.RUNNING): World.going,
    (Kind.PENDING, "claim", Kind.QUEUED): World.queue,
    (Kind.PENDING, "claim", Kind.WAITING): lambda it: (it.fire(FIRST, SECOND), it.claim(SECOND)),
    (Kind.RUNNING, "claim", Kind.QUEUED): repeated_claim_is_queued,
    (Kind.RUNNING, "claim", Kind.WAITING): repeated_claim_waits,
    (Kind.RUNNING, "hand_over", Kind.DELEGATED): lambda it: it.delegate(it.going()),
    (Kind.RUNNING, "finish", None): lambda it: it.end(it.going(), OK),
    (Kind.RUNNING, "finish", Kind.WAITING): lambda it: it.end(it.going(), FAILED),
    (Kind.DELEGATED, "finish", None): lambda it: it.end(it.delegate(it.going()), OK),
    (Kind.DELEGATED, "finish", Kind.WAITING): lambda it: it.end(it.delegate(it.going()), FAILED),
    (Kind.PENDING, "finish", None): lambda it: (it.fire(FIRST), it.cancel(FIRST)),
    (Kind.WAITING, "finish", None): lambda it: (it.end(it.going(), FAILED), it.cancel(FIRST)),
    (Kind.QUEUED, "finish", None): lambda it: (it.queue(), it.cancel(SECOND)),
    (Kind.QUEUED, "finish", Kind.WAITING): lambda it: it.end(it.queue(), OK),
    (Kind.PENDING, "hand_back", Kind.PENDING): lambda it: (
        it.fire(RunId("notify", NOW)),
        by_time(it),
    ),
    (Kind.WAITING, "hand_back", Kind.PENDING): lambda it: (
        it.end(it.going(), FAILED),
        setattr(it, "now", NOW + 3600),
        it.sweep(),
    ),
    (Kind.QUEUED, "hand_back", Kind.PENDING): lambda it: (it.queue(), by_time(it)),
    (Kind.RUNNING, "hand_back", Kind.PENDING): lambda it: (
        it.going(RunId("notify", NOW)),
        by_time(it),
    ),
}


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row.before}-{row.step}-{row.after}")
def test_each_row_can_happen(row: Transition, redis: Redis, changes: set[Change]) -> None:
    SCENARIOS[key(row)](World(redis))
    assert key(row) in changes
    assert changes <= set(map(key, TRANSITIONS))


def test_the_diagrams_show_each_row_and_no_other() -> None:
    page = (Path(__file__).parents[1] / "docs" / "design.md").read_text()
    arrows = re.findall(r"^ +(\S+) --> (\w+): ([\w, ]+\w)", page, re.MULTILINE)
    closed = {"[*]": "none", "ended": "none"}
    shown = {
        (closed.get(before, before), step, closed.get(after, after))
        for before, after, steps in arrows
        for step in steps.split(", ")
    }
    assert shown == {tuple(map(name_state_or_step, key(row))) for row in TRANSITIONS}


def name_state_or_step(part: State_) -> str:
    return part.value if isinstance(part, Kind) else part or "none"


def test_each_row_is_one_step_and_says_when() -> None:
    rows = list(map(key, TRANSITIONS))
    assert len(set(rows)) == len(rows)
    assert all(callable(getattr(Ledger, row.step)) and row.when for row in TRANSITIONS)


def moves(it: World, chance: random.Random) -> Iterator[None]:
    """Make any step of any process, again and again."""
    while True:
        job = chance.choice(JOBS)
        opened = it.opened()
        one = chance.choice(opened) if opened else None
        claim = chance.choice(it.claims) if it.claims else None
        batches = sorted(it.redis.hkeys(keys.BATCHES))
        match chance.randrange(18):
            case 0 | 1:
                it.fire(*(RunId(job, it.now + n) for n in range(chance.randint(1, 3))))
            case 2:
                it.fire(RunId(job, it.now), RunId(job, it.now + 1), in_turn=True)
            case 3:
                flags = {"again": chance.random() < 0.5, "in_turn": chance.random() < 0.3}
                it.ledger.open([RunId(job, it.now + 0.5)], it.now, **flags)
            case 4 | 5 | 6 if one:
                it.claim(one, f"w#{chance.randint(1, 4)}")
            case 7 | 8 if claim:
                it.end(claim, chance.choice((OK, FAILED)))
            case 9 if claim:
                it.delegate(claim)
            case 10 if claim and claim.state.kind is Kind.RUNNING:
                it.ledger.hand_back(it.now, [(claim.run_id, claim.state)])
            case 11 if one:
                it.cancel(one)
            case 13 | 14:
                it.fire_batch(*QUICK)
            case 15 | 16 if batches:
                it.conclude(chance.choice(batches))
            case 17:
                it.redis.hset(keys.FAILING, "plain", 1)
            case 12:
                chance.choice((it.remove, it.pause, it.put))(job)
            case _:
                it.now += chance.choice((0.5, 1, 6, 20, 3600))
                it.sweep(chance.randint(0, 1))
        yield


def test_the_scripts_make_no_other_change(redis: Redis, changes: set[Change]) -> None:
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def walk(seed: int) -> None:
        redis.flushall()
        changes.clear()
        it, chance = World(redis), random.Random(seed)
        for _, _ in zip(range(120), moves(it, chance), strict=False):
            assert changes <= set(map(key, TRANSITIONS))

    walk()
    redis.flushall()


def test_a_state_reads_what_it_writes() -> None:
    for kind, letter in zip(Kind, "pwqr", strict=False):
        state = State(kind, 2, [Flag.BY_HAND, Flag.IN_TURN], "w#1")
        assert state == f"{letter}|2|hc|w#1"
        assert (state.kind, state.attempt, state.holder) == (kind, 2, "w#1")
        assert state.flags == {Flag.BY_HAND, Flag.IN_TURN}
    task = State(Kind.RUNNING, 1, [Flag.WAS_QUEUED], "w#1").delegate("7@x#1")
    assert (task, task.kind, task.task_id) == ("r|1|q|task:7@x#1", Kind.DELEGATED, "7@x#1")
    with pytest.raises(ValueError, match="is not the state of a run"):
        State.parse("x|1||")
