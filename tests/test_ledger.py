"""The ledger's steps one by one. test_ledger_model.py runs them at random."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from cron_tasks.ledger.ledger import LEASE, PATIENCE, Ledger, LockLost
from cron_tasks.ledger.records import Advance, Message, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.settings import Settings
from cron_tasks.store import keys

NOW = 1_800_000_000.0
TICK = RunId("7", NOW)
KEY = keys.entry_key("7")


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    """A ledger whose job 7 is due at NOW, and whose leader holds the token `me`."""
    redis.set(keys.LEADER_LOCK, "me", ex=60)
    redis.hset(KEY, mapping={"definition": "{}", "meta": "{}", "job": "{}"})
    redis.zadd(keys.SCHEDULE, {KEY: NOW})
    return Ledger(redis, Settings(history_runs=3, history_days=0.01))


def due(**changes: object) -> Advance:
    step = {"key": KEY, "score": str(NOW), "next": NOW + 60, "meta": "m", "run_ids": [TICK]}
    return Advance(**step | {"job_id": "7"} | changes)  # type: ignore[arg-type]


def opened(ledger: Ledger) -> None:
    assert ledger.advance("me", NOW, [due()], 0) == [TICK]


def running(ledger: Ledger, holder: str = "w1", now: float = NOW) -> State:
    (claim,) = ledger.claim(holder, now, [TICK])
    return claim.state


def outcome(state: State, *messages: Message) -> Outcome:
    return Outcome(TICK, "7", state, b"record", messages)


def test_advance_moves_the_entry_and_opens_its_tick(ledger: Ledger, redis: Redis) -> None:
    opened(ledger)
    assert redis.zscore(keys.SCHEDULE, KEY) == NOW + 60
    assert redis.hget(KEY, "meta") == "m"
    assert redis.zscore(keys.DEADLINES, TICK) == NOW + PATIENCE


def test_advance_does_nothing_without_the_lock(ledger: Ledger, redis: Redis) -> None:
    with pytest.raises(LockLost):
        ledger.advance("another", NOW, [due()], 0)
    redis.delete(keys.LEADER_LOCK)
    with pytest.raises(LockLost):
        ledger.advance("me", NOW, [due()], 0)
    assert redis.zscore(keys.SCHEDULE, KEY) == NOW
    assert not redis.exists(keys.OPEN)


def test_advance_passes_over_what_was_edited_removed_or_done(ledger: Ledger, redis: Redis) -> None:
    redis.zadd(keys.SCHEDULE, {KEY: NOW + 1})
    assert ledger.advance("me", NOW, [due()], 0) == []
    redis.zrem(keys.SCHEDULE, KEY)
    assert ledger.advance("me", NOW, [due()], 0) == []
    redis.zadd(keys.SCHEDULE, {KEY: NOW})
    redis.delete(KEY)
    assert ledger.advance("me", NOW, [due()], 0) == []
    assert not redis.exists(KEY, keys.OPEN)


def test_advance_takes_a_finished_entry_out_of_the_schedule(ledger: Ledger, redis: Redis) -> None:
    ledger.advance("me", NOW, [due(next=None)], 0)
    assert redis.zscore(keys.SCHEDULE, KEY) is None


def test_advance_records_what_was_missed(ledger: Ledger) -> None:
    ledger.advance("me", NOW, [due(run_ids=[], missed=b"outage")], 0)
    assert ledger.history("7") == ["outage"]
    assert ledger.redis.lrange(keys.RECENT, 0, -1) == ["outage"]


@pytest.mark.parametrize("stretch", ['{"run_id":"7","until":"later"}', '{"from": 1}'])
def test_a_stretch_that_was_missed_stays_accounted_for(
    stretch: str, ledger: Ledger, redis: Redis
) -> None:
    """Its first tick may be run later, which does not change the others."""
    ledger.advance("me", NOW, [due(run_ids=[])], 0)
    redis.zadd(keys.ACCOUNT_PREFIX + "7", {stretch: NOW})
    for record in (b"failed", b"ok"):
        ledger.open([TICK], NOW, again=True)
        ledger.finish(NOW, [Outcome(TICK, "7", running(ledger), record)])
    kept = redis.zrangebyscore(keys.ACCOUNT_PREFIX + "7", NOW, NOW)
    assert kept == ["ok", stretch]


@pytest.mark.parametrize(("goes", "deadline"), [(False, 0.0), (True, NOW + LEASE)])
def test_an_open_tick_is_told_to_stop(
    goes: bool, deadline: float, ledger: Ledger, redis: Redis
) -> None:
    assert ledger.stop([TICK], "cancelled|") == []
    opened(ledger)
    if goes:
        running(ledger)
    assert ledger.stop([TICK], "cancelled|") == [TICK]
    assert redis.zscore(keys.DEADLINES, TICK) == deadline
    assert redis.hgetall(keys.STOP) == {TICK: "cancelled|"}
    (tick,) = ledger.overdue(NOW + LEASE, 10)
    assert tick.unwanted == "cancelled|"


def test_a_tick_is_claimed_once(ledger: Ledger) -> None:
    opened(ledger)
    assert ledger.claim("w1", NOW, [TICK])[0].attempt == 1
    assert ledger.claim("w2", NOW, [TICK]) == []


def test_a_claim_whose_answer_was_lost_may_be_repeated(ledger: Ledger) -> None:
    opened(ledger)
    assert running(ledger) == running(ledger)


def test_a_tick_of_a_removed_job_is_claimed_only_to_be_concluded(
    ledger: Ledger, redis: Redis
) -> None:
    opened(ledger)
    redis.delete(KEY)
    (claim,) = ledger.claim("w1", NOW, [TICK])
    assert claim.document == ""
    assert ledger.finish(NOW, [Outcome(TICK, "7", claim.state, b"gone", (), "skipped")]) == [TICK]
    assert ledger.history("7") == []
    assert redis.zrange(keys.ACCOUNT_PREFIX + "7", 0, -1) == ["gone"]
    assert not redis.exists(keys.OPEN, keys.DEADLINES)


def test_finish_is_outcome_history_and_notification_in_one(ledger: Ledger, redis: Redis) -> None:
    opened(ledger)
    state = running(ledger)
    messages = (Message("queue:a", b"1"), Message("queue:b", b"2"), Message("queue:a", b"3"))
    assert ledger.finish(NOW, [outcome(state, *messages)]) == [TICK]
    assert ledger.finish(NOW, [outcome(state, *messages)]) == []
    assert (redis.lrange("queue:a", 0, -1), redis.lrange("queue:b", 0, -1)) == (["1", "3"], ["2"])
    assert ledger.history("7") == ["record"]
    assert not redis.exists(keys.OPEN, keys.DEADLINES)


def test_history_is_bounded(ledger: Ledger, redis: Redis) -> None:
    for number in range(5):
        tick = RunId("7", NOW + number)
        ledger.open([tick], NOW)
        (claim,) = ledger.claim("w", NOW, [tick])
        ledger.finish(NOW, [Outcome(tick, "7", claim.state, str(number).encode())])
    assert ledger.history("7") == ["4", "3", "2"]
    assert 0 < redis.ttl(keys.HISTORY_PREFIX + "7") <= 864


def test_a_queue_that_is_no_list_costs_only_its_own_message(ledger: Ledger, redis: Redis) -> None:
    opened(ledger)
    redis.set("queue:a", "a string", ex=60)
    ledger.finish(
        NOW, [outcome(running(ledger), Message("queue:a", b"1"), Message("queue:b", b"2"))]
    )
    assert redis.lrange("queue:b", 0, -1) == ["2"]
    assert redis.lrange(keys.UNDELIVERABLE, 0, -1) == ["queue:a 1"]


def test_a_worker_that_lost_its_lease_changes_nothing(ledger: Ledger, redis: Redis) -> None:
    opened(ledger)
    late = running(ledger, "slow")
    (overdue,) = ledger.overdue(NOW + LEASE + 1, 10)
    assert (overdue.state.in_flight, overdue.attempt, overdue.document) == (True, 1, "{}")
    ledger.hand_back(NOW + LEASE + 1, [(TICK, overdue.state)], attempt_more=True)
    now = running(ledger, "quick")
    assert now.startswith("r|2|")
    assert ledger.finish(NOW, [outcome(late, Message("queue:a", b"late"))]) == []
    assert ledger.finish(NOW, [outcome(now, Message("queue:a", b"quick"))]) == [TICK]
    assert redis.lrange("queue:a", 0, -1) == ["quick"]


def test_renewal_extends_a_lease_and_tells_what_is_lost(ledger: Ledger) -> None:
    opened(ledger)
    running(ledger, "w1")
    assert ledger.renew("w1", NOW + 10, [TICK]) == {}
    assert ledger.overdue(NOW + LEASE + 1, 10) == []
    assert ledger.renew("w2", NOW + 10, [TICK, "8@2027-01-15T08:00:00Z"]) == {
        TICK: "lost|",
        "8@2027-01-15T08:00:00Z": "lost|",
    }


def test_handing_back_respects_what_happened_meanwhile(ledger: Ledger) -> None:
    opened(ledger)
    (overdue,) = ledger.overdue(NOW + PATIENCE + 1, 10)
    running(ledger)
    ledger.hand_back(NOW, [(TICK, overdue.state)])
    assert ledger.claim("w2", NOW, [TICK]) == []


def test_overdue_forgets_deadlines_without_a_tick(ledger: Ledger, redis: Redis) -> None:
    redis.zadd(keys.DEADLINES, {"no tick": NOW - 1})
    assert ledger.overdue(NOW, 10) == []
    assert not redis.exists(keys.DEADLINES)


def test_a_broken_entry_harms_no_other_claim(ledger: Ledger, redis: Redis) -> None:
    opened(ledger)
    other = RunId("8", NOW)
    ledger.open([other], NOW)
    redis.set(keys.entry_key("8"), "no hash", ex=60)
    claims = ledger.claim("w", NOW, [other, TICK])
    assert [(each.run_id, each.document) for each in claims] == [(other, ""), (TICK, "{}")]


def test_scripts_survive_a_server_that_forgot_them(ledger: Ledger, redis: Redis) -> None:
    opened(ledger)
    redis.script_flush()
    assert running(ledger) == "r|1||w1"


@pytest.fixture
def full(redis: Redis) -> Iterator[Callable[[], None]]:
    """Makes Redis refuse what needs memory, until the test ends."""
    yield lambda: redis.config_set("maxmemory", 1)
    redis.config_set("maxmemory", 0)


def test_a_full_redis_refuses_a_step_as_a_whole(
    ledger: Ledger, redis: Redis, full: Callable[[], None]
) -> None:
    opened(ledger)
    state = running(ledger)
    redis.zadd(keys.SCHEDULE, {KEY: NOW})
    full()
    with pytest.raises(ResponseError):
        ledger.finish(NOW, [outcome(state, Message("queue:a", b"1"))])
    with pytest.raises(ResponseError):
        ledger.advance("me", NOW, [due(next=None, run_ids=[], missed=b"outage")], 0)
    redis.config_set("maxmemory", 0)
    assert redis.zscore(keys.SCHEDULE, KEY) == NOW
    assert ledger.finish(NOW, [outcome(state, Message("queue:a", b"1"))]) == [TICK]
    assert redis.lrange("queue:a", 0, -1) == ["1"]
    assert ledger.history("7") == ["record"]
