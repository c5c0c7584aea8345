"""Once a stop is acknowledged nothing begins, whatever beat is doing, and the notifications are
right."""

import pytest
from applying import apply
from redis import Redis
from test_stops import NOW, TICK, Attempted, made

from cron_tasks.jobs.run import Run
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Advance
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.runs.outcomes import conclude, write_record
from cron_tasks.runs.overdue import decide_overdue
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings
from cron_tasks.store import keys

QUICK = {"type": "notify"}


class Waiting:
    """A run that waits: for a worker, its next attempt, or its turn."""

    def __init__(self, redis: Redis, state: str, **more: object) -> None:
        self.redis, self.job = redis, made(**more)
        self.ledger, self.registry = Ledger(redis, Settings()), Registry(redis)
        apply(redis, Changes(added=[Desired(self.job, "x")]), NOW - 60)
        redis.hset(keys.OPEN, TICK, state)
        redis.zadd(keys.DEADLINES, {TICK: NOW + 5})

    def comes_back(self) -> None:
        """Remove the job, and list it again before beat has checked it."""
        apply(self.redis, Changes(removed=["7"]), NOW)
        self.ledger.let_go({"7"})
        apply(self.redis, Changes(added=[Desired(self.job, "x")]), NOW)

    def begins(self) -> bool:
        claims = self.ledger.claim("w#2", NOW + 1, [TICK])
        return any(not claim.verdict for claim in claims)

    def sweep(self, now: float = NOW + 1) -> None:
        self.ledger.finish(now, decide_overdue(self.ledger.overdue(now, 10), now, Settings()).close)

    def end(self) -> tuple[str, str | None] | None:
        found = queries.find_end(self.redis, TICK)
        return (found["status"], found["reason"]) if found else None


@pytest.mark.parametrize("action", [None, QUICK])
@pytest.mark.parametrize(
    ("state", "begins"), [("p|1||", False), ("p|2||", False), ("p|1|h|", True), ("p|2|hr|", True)]
)
def test_what_waits_on_a_paused_job_does_not_begin(
    redis: Redis, state: str, begins: bool, action: dict[str, str] | None
) -> None:
    it = Waiting(redis, state, **({"action": action} if action else {}))
    it.registry.pause("7", "stocktaking", NOW)
    it.ledger.look_after({"7"}, NOW)
    assert it.begins() == begins
    if not begins:
        assert redis.hget(keys.OPEN, TICK) == state
        it.sweep()
        # One that has begun before has failed.
        assert it.end() == ("failed" if state.startswith("p|2") else "skipped", "paused")


def test_a_pause_that_ends_before_beat_looked_stops_nothing(redis: Redis) -> None:
    it = Waiting(redis, "p|1||")
    it.registry.pause("7", "stocktaking", NOW)
    assert not it.begins()
    it.registry.resume("7", NOW)
    assert it.begins()


@pytest.mark.parametrize("state", ["p|1||", "p|2||", "w|2||", "q|1|q|", "p|1|h|"])
def test_what_waited_when_its_job_was_removed_never_begins(redis: Redis, state: str) -> None:
    it = Waiting(redis, state)
    it.comes_back()
    assert not it.begins()
    it.sweep()
    assert not redis.exists(keys.OPEN, keys.STOP)
    assert it.end() == ("skipped", "removed")
    # As when the job is still gone, nobody is told.
    assert not redis.exists("queue:to_telegram")


def test_what_runs_when_its_job_is_removed_ends_by_itself_and_is_not_tried_again(
    redis: Redis,
) -> None:
    it = Attempted(redis)
    apply(redis, Changes(removed=["7"]), NOW)
    it.ledger.let_go({"7"})
    apply(redis, Changes(added=[Desired(it.job, "x")]), NOW)
    assert it.ledger.renew("w#1", NOW, [TICK]) == {}
    assert it.fail() == "skipped"
    assert it.record() == ("skipped", "removed", "HTTP 503", 1)
    assert not redis.exists(keys.OPEN, keys.STOP)


def test_a_cancelled_run_is_still_cut_off_when_its_job_is_removed(redis: Redis) -> None:
    it = Attempted(redis)
    it.ledger.stop([TICK], "cancelled|")
    it.ledger.let_go({"7"})
    assert it.ledger.renew("w#1", NOW, [TICK]) == {TICK: "cancelled|"}


@pytest.mark.parametrize("state", ["p|1||", "p|2||", "p|1|h|"])
def test_a_run_that_was_told_to_end_does_not_begin(redis: Redis, state: str) -> None:
    it = Waiting(redis, state)
    later = RunId("7", NOW + 60)
    it.ledger.stop([TICK], f"replaced|{later}")
    (claim,) = it.ledger.claim("w#2", NOW + 1, [TICK])
    assert claim.verdict == f"replaced|{later}"


def test_a_missed_tick_that_is_done_again_and_skipped_stays_missed_for_all(redis: Redis) -> None:
    it = Waiting(redis, "p|1||")
    redis.delete(keys.OPEN, keys.DEADLINES)
    redis.set(keys.LEADER_LOCK, "me", ex=60)
    key, by = keys.entry_key("7"), Attempt(0, None, NOW + 9, None)
    redis.zadd(keys.SCHEDULE, {key: NOW})
    line = write_record(TICK, Result("missed", "coalesced"), by, NOW + 60)
    edits = int(redis.get(keys.EDITS) or 0)
    step = Advance(key, repr(NOW), NOW + 99, "{}", (), "7", line)
    it.ledger.advance("me", NOW + 9, [step], edits)
    it.ledger.open([TICK], NOW + 10, again=True)
    it.ledger.stop([TICK], "cancelled|")
    it.sweep(NOW + 10)
    assert it.end() == ("missed", "coalesced")
    assert (last := queries.find_last_end(redis, TICK))
    assert last["status"] == "skipped"


def test_why_nobody_was_told_is_known_for_as_long_as_the_run_is(redis: Redis) -> None:
    it = Attempted(redis, by_hand=True, notify={"on": ["success"], "stale_after": 20})
    run, by = Run(it.job, TICK, NOW, 1), Attempt(1, NOW + 60, NOW + 61, "w")
    outcome = conclude(run, it.claim, Result("ok"), by, Settings(), 0.5)
    assert it.ledger.finish(NOW + 61, [outcome]) == [TICK]
    redis.delete(keys.HISTORY_PREFIX + "7")
    assert (found := queries.find_end(redis, TICK))
    assert found["untold"] == "too old"
