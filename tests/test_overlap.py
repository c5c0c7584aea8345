"""Decide which of several open runs of a job may run: every state with every policy."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import wait_until
from redis import Redis
from test_policies import job as job
from test_policies import run
from test_policies import system as system

from cron_tasks.ledger.ledger import AGAIN, Ledger
from cron_tasks.ledger.records import Advance, Claim, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.settings import Settings
from cron_tasks.store import keys

NOW = 1_800_000_000.0
KEY = keys.entry_key("7")
POLICIES = ("skip", "queue", "replace", "allow")
EARLIER, LATER, LATEST = (RunId("7", NOW + second) for second in (0, 1, 2))


class Runs:
    """Runs of one job, brought into any state by the ledger's own steps."""

    def __init__(self, redis: Redis, policy: str) -> None:
        self.redis = redis
        self.ledger = Ledger(redis, Settings())
        redis.set(keys.LEADER_LOCK, "me", ex=60)
        document = json.dumps(
            {"action": {"type": "http"}, "overlap": policy}, separators=(",", ":")
        )
        redis.hset(KEY, mapping={"definition": "{}", "meta": "{}", "job": document})

    def fire(self, *ticks: str) -> None:
        self.redis.zadd(keys.SCHEDULE, {KEY: NOW})
        step = Advance(KEY, repr(NOW), NOW + 60, "{}", ticks, "7")
        assert self.ledger.advance("me", NOW, [step], 0) == list(ticks)

    def state(self, tick: RunId) -> str:
        return self.redis.hget(keys.OPEN, tick) or "ended"

    def claim(self, tick: RunId) -> Claim | None:
        found = self.ledger.claim(f"w#{time.monotonic_ns()}", NOW, [tick])
        return found[0] if found else None

    def goes(self, tick: RunId) -> Claim:
        claim = self.claim(tick)
        assert claim is not None
        assert claim.verdict == ""
        return claim

    def fails(self, claim: Claim) -> None:
        """End an attempt that another is to follow."""
        outcome = Outcome(claim.run_id, "7", claim.state, b"[]", (), "retry", NOW + 5)
        assert self.ledger.finish(NOW, [outcome]) == [claim.run_id]

    def ends(self, tick: RunId) -> None:
        record = Outcome(tick, "7", State.parse(self.state(tick)), b"record")
        assert self.ledger.finish(NOW, [record]) == [tick]

    def pend(self, tick: RunId) -> None:
        self.ledger.hand_back(NOW, [(tick, self.state(tick))])

    def bring(self, tick: RunId, state: str) -> None:
        """Let a run begin, and leave it running or between two attempts."""
        claim = self.goes(tick)
        if state == "its worker died":
            self.ledger.hand_back(NOW, [(tick, claim.state)], attempt_more=True)
        elif state != "running":
            self.fails(claim)
            if state == "pending again":
                self.pend(tick)

    def stopped(self) -> dict[str, str]:
        return self.redis.hgetall(keys.STOP)


BEGUN = ("running", "waits for its next attempt", "pending again", "its worker died")


@pytest.mark.parametrize("state", BEGUN)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_that_has_begun_keeps_its_place(redis: Redis, policy: str, state: str) -> None:
    runs = Runs(redis, policy)
    runs.fire(EARLIER, LATER)
    runs.bring(EARLIER, state)
    claim = runs.claim(LATER)
    if policy == "allow":
        assert claim is not None
        assert claim.verdict == ""
        return
    if policy == "skip":
        assert claim is not None
        assert claim.verdict == f"overlap|{EARLIER}"
        runs.ends(LATER)
    else:
        assert claim is None
        assert runs.state(LATER) == "q|1|q|"
    assert runs.stopped() == ({EARLIER: f"replaced|{LATER}"} if policy == "replace" else {})
    if state == "waits for its next attempt":
        runs.pend(EARLIER)
    if policy == "replace" and state != "running":
        # Told to end, it does not begin again.
        claim = runs.claim(EARLIER)
        assert claim is not None
        assert claim.verdict == f"replaced|{LATER}"
    elif state != "running":
        runs.goes(EARLIER)
    runs.ends(EARLIER)
    if policy != "skip":
        assert runs.state(LATER) == "w|1|q|"


@pytest.fixture(params=["skip", "queue"])
def out_of_order(redis: Redis, request: pytest.FixtureRequest) -> Runs:
    """Fire three runs. The messages of the later two come first."""
    runs = Runs(redis, request.param)
    runs.fire(EARLIER, LATER, LATEST)
    for tick in (LATEST, LATER):
        assert runs.claim(tick) is None
        assert runs.state(tick) == "w|1||"
        assert redis.zscore(keys.DEADLINES, tick) == NOW + AGAIN
    return runs


def test_an_earlier_run_whose_message_comes_later_goes_first(
    redis: Redis, out_of_order: Runs
) -> None:
    runs = out_of_order
    for tick in (LATEST, LATER):
        runs.pend(tick)
    for tick in (EARLIER, LATER, LATEST):
        runs.goes(tick)
        runs.ends(tick)
    assert not redis.exists(keys.OPEN, keys.GOING, keys.BEFORE)


def test_runs_of_a_job_whose_entry_another_program_deleted_wait_for_it(redis: Redis) -> None:
    """The job is still registered, so a sync writes its entry again."""
    runs = Runs(redis, "skip")
    redis.hset(keys.JOBS, "7", "x")
    runs.fire(EARLIER, LATER)
    tried = runs.goes(EARLIER)
    stored = redis.dump(KEY)
    redis.delete(KEY)
    runs.fails(tried)
    assert runs.state(EARLIER) == "w|2||"
    assert runs.claim(LATER) is None
    assert (runs.state(LATER), redis.zscore(keys.DEADLINES, LATER)) == ("p|1||", NOW + AGAIN)
    for late in (5, 60):
        assert runs.ledger.overdue(NOW + late, 10) == []
        assert redis.zmscore(keys.DEADLINES, [EARLIER, LATER]) == [NOW + late + 1] * 2
    redis.restore(KEY, 0, stored)
    assert [each.run_id for each in runs.ledger.overdue(NOW + 100, 10)] == [EARLIER, LATER]
    redis.delete(KEY)
    redis.hdel(keys.JOBS, "7")
    removed = runs.ledger.overdue(NOW + 100, 10)
    assert [(each.run_id, each.document) for each in removed] == [(EARLIER, ""), (LATER, "")]


def test_the_next_of_many_runs_is_claimed_when_one_ends(redis: Redis, out_of_order: Runs) -> None:
    """If each waited for a second, a job that fires every second would stay late for ever."""
    runs = out_of_order
    for tick, following in ((EARLIER, LATER), (LATER, LATEST)):
        runs.goes(tick)
        assert redis.zscore(keys.DEADLINES, following) == NOW + AGAIN
        runs.ends(tick)
        assert redis.zscore(keys.DEADLINES, following) == NOW
        assert redis.delete(keys.WAKE)
        runs.pend(following)
    runs.goes(LATEST)
    runs.ends(LATEST)
    assert not redis.exists(keys.OPEN, keys.BEFORE, keys.AWAITED, keys.WAKE)


def test_a_run_that_nobody_claims_again_is_not_woken(redis: Redis) -> None:
    runs = Runs(redis, "skip")
    runs.fire(EARLIER, LATER)
    assert runs.claim(LATER) is None
    runs.ledger.finish(NOW, [Outcome(LATER, "7", State.parse(runs.state(LATER)), b"record")])
    runs.goes(EARLIER)
    runs.ends(EARLIER)
    assert not redis.exists(keys.OPEN, keys.DEADLINES, keys.AWAITED, keys.WAKE)


def test_so_do_runs_asked_for_by_hand(redis: Redis) -> None:
    runs = Runs(redis, "skip")
    runs.fire(EARLIER)
    assert runs.ledger.open([LATER, LATEST], NOW) == [LATER, LATEST]
    for tick in (LATEST, LATER):
        assert runs.claim(tick) is None
        runs.pend(tick)
    for tick in (EARLIER, LATER, LATEST):
        runs.goes(tick)
        runs.ends(tick)


def test_a_later_run_takes_the_place_of_an_earlier_one_but_never_the_other_way(
    redis: Redis,
) -> None:
    runs = Runs(redis, "replace")
    runs.fire(EARLIER, LATER)
    runs.goes(LATER)
    assert runs.stopped() == {EARLIER: f"replaced|{LATER}"}
    claim = runs.claim(EARLIER)
    assert claim is not None
    assert claim.verdict == f"replaced|{LATER}"
    assert runs.stopped() == {EARLIER: f"replaced|{LATER}"}


@pytest.mark.parametrize("policy", ["queue", "replace"])
def test_of_two_runs_that_may_be_queued_one_stays(redis: Redis, policy: str) -> None:
    """It is the earlier one by `queue`, and the later one by `replace`, in either order of their
    claims."""
    runs = Runs(redis, policy)
    runs.fire(EARLIER)
    runs.goes(EARLIER)
    runs.ledger.open([LATEST], NOW)
    runs.ledger.open([LATER], NOW)
    assert runs.claim(LATEST) is None
    assert runs.state(LATEST).startswith("q|")
    claim = runs.claim(LATER)
    if policy == "queue":
        assert claim is None
        assert runs.state(LATER).startswith("q|")
        assert runs.stopped() == {LATEST: f"overlap|{LATER}"}
    else:
        assert claim is not None
        assert claim.verdict == f"replaced|{LATEST}"
        assert runs.stopped() == {EARLIER: f"replaced|{LATER}"} | {EARLIER: f"replaced|{LATEST}"}


@pytest.mark.parametrize("policy", ["skip", "queue"])
@pytest.mark.parametrize("pends", [False, True])
def test_a_queued_run_that_is_woken_has_the_place(redis: Redis, policy: str, pends: bool) -> None:
    runs = Runs(redis, "queue")
    runs.fire(EARLIER, LATER)
    runs.goes(EARLIER)
    assert runs.claim(LATER) is None
    runs.ends(EARLIER)
    Runs(redis, policy).fire(LATEST)
    if pends:
        runs.pend(LATER)
    claim = runs.claim(LATEST)
    assert claim is None or claim.verdict == f"overlap|{LATER}"
    if not pends:
        runs.pend(LATER)
    runs.goes(LATER)


@pytest.mark.parametrize("policy", ["skip", "queue", "replace"])
def test_a_run_that_lost_its_place_to_the_version_before_waits(redis: Redis, policy: str) -> None:
    runs = Runs(redis, policy)
    runs.fire(EARLIER)
    runs.bring(EARLIER, "pending again")
    redis.hset(keys.OPEN, LATER, "r|1||w#1")
    redis.hset(keys.GOING, "7", LATER)
    assert runs.claim(EARLIER) is None
    assert runs.state(EARLIER) == "w|2||"
    assert runs.stopped() == {}


def test_a_run_named_twice_in_one_call_is_claimed_and_ended_once(redis: Redis) -> None:
    runs = Runs(redis, "allow")
    runs.fire(EARLIER)
    (claim,) = runs.ledger.claim("w#1", NOW, [EARLIER] * 2)
    ended = Outcome(EARLIER, "7", claim.state, b"record")
    stale = Outcome(EARLIER, "7", State.parse("r|1||w#0"), b"stale")
    assert runs.ledger.finish(NOW, [stale, ended, ended]) == [EARLIER]
    assert runs.ledger.history("7") == ["record"]


def test_an_entry_fires_no_tick_twice_whatever_its_score_says(redis: Redis) -> None:
    runs = Runs(redis, "allow")
    runs.fire(EARLIER, LATER)
    for tick in (EARLIER, LATER):
        runs.goes(tick)
        runs.ends(tick)
    redis.zadd(keys.SCHEDULE, {KEY: NOW})
    step = Advance(KEY, repr(NOW), NOW + 60, "{}", [EARLIER, LATER, LATEST], "7")
    assert runs.ledger.advance("me", NOW, [step], 0) == [LATEST]


def test_in_a_backlog_no_attempt_is_skipped_for_a_later_run(
    redis: Redis,
    system: Callable[..., None],
    job: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    """There is one slot, which another job occupies, and the message of the later run comes
    first."""
    retry = {"max_attempts": 2, "backoff": 600}
    system(job("failing", "fail", retry=retry), job("slow", "hold"), slots=1)

    def states(job_id: str) -> dict[str, str]:
        opened = redis.hgetall(keys.OPEN).items()
        return {tick: state for tick, state in opened if tick.startswith(f"{job_id}@")}

    def reaches(tick: RunId, state: str) -> None:
        wait_until(lambda: redis.hget(keys.OPEN, tick).startswith(state), f"{tick} as {state}")

    run(redis, "failing")
    (earlier,) = states("failing")
    reaches(earlier, "w|2|")
    run(redis, "slow")
    (slow,) = states("slow")
    reaches(slow, "r|")
    run(redis, "failing")
    (later,) = states("failing").keys() - {earlier}
    wait_until(lambda: redis.llen("cron_tasks") == 1, "the message of the later run")
    redis.zadd(keys.DEADLINES, {earlier: 0})
    reaches(earlier, "p|2|")
    wait_until(lambda: redis.llen("cron_tasks") == 2, "the message of the earlier run")
    (tmp_path / "log.released").touch()
    wait_until(lambda: not redis.exists(keys.OPEN), "all runs to end")
    ended = map(json.loads, redis.lrange(keys.HISTORY_PREFIX + "failing", 0, -1))
    how = {run["run_id"]: (run["status"], run["reason"], run["attempt"]) for run in ended}
    assert how == {earlier: ("failed", None, 2), later: ("skipped", "overlap", 0)}
