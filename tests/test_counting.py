"""Each end of a run is counted once, and so is each tick that never fires."""

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from driven import Beat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from test_transitions import NOW, OK, SCENARIOS, World, _read_states, key, moves

from cron_tasks.ledger import steps
from cron_tasks.ledger.counting import BOUNDS, count_end
from cron_tasks.ledger.records import Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.ledger.transitions import TRANSITIONS, Transition
from cron_tasks.metrics.families import read_counters
from cron_tasks.registry.quarantine import quarantine_entry
from cron_tasks.registry.registry import Registry
from cron_tasks.runs.overtaken import list_overtaken
from cron_tasks.settings import Settings
from cron_tasks.store import keys

ENDS = [row for row in TRANSITIONS if row.after is None]


def counted(redis: Redis, *names: str) -> Counter[str]:
    """Return counters by their whole name, such as `ticks_total|ok|`."""
    stored = {name: int(value) for name, value in redis.hgetall(keys.METRICS).items()}
    return Counter({n: value for n, value in stored.items() if n.partition("|")[0] in names})


def ended(redis: Redis) -> int:
    return counted(redis, "ticks_total", "manual_runs_total").total()


@pytest.fixture
def closed(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the runs that a script removed from the open ones, each as often as that happened."""
    found: list[str] = []

    def watch(step: str) -> None:
        original = getattr(steps, step)

        def watched(client: Redis, **values: Any) -> Any:
            before = _read_states(redis)
            reply = original(client, **values)
            found.extend(before.keys() - _read_states(redis).keys())
            return reply

        monkeypatch.setattr(steps, step, watched)

    for step in {row.step for row in TRANSITIONS}:
        watch(step)
    return found


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row.before}-{row.step}-{row.after}")
def test_each_row_of_the_table_counts_if_it_is_an_end(
    row: Transition, redis: Redis, closed: list[str]
) -> None:
    SCENARIOS[key(row)](World(redis))
    assert ended(redis) == len(closed)
    if row in ENDS:
        assert closed


def test_a_random_walk_counts_each_end_once(redis: Redis, closed: list[str]) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32))
    def walk(seed: int) -> None:
        redis.flushall()
        closed.clear()
        it, chance = World(redis), random.Random(seed)
        for _, _ in zip(range(120), moves(it, chance), strict=False):
            assert ended(redis) == len(closed)

    walk()
    redis.flushall()


def test_an_outcome_that_names_no_counts_counts_by_its_status(redis: Redis) -> None:
    it = World(redis)
    claim = it.going(RunId("notify", NOW))
    it.ledger.finish(NOW, [Outcome(claim.run_id, "notify", claim.state, b"{}")])
    assert counted(redis, "ticks_total") == {"ticks_total|ok|": 1}


def test_an_outcome_that_comes_twice_counts_once(redis: Redis) -> None:
    it = World(redis)
    claim = it.going(RunId("notify", NOW))
    outcome = Outcome(claim.run_id, "notify", claim.state, b"{}")
    assert [it.ledger.finish(NOW, [outcome]) for _ in range(2)] == [[claim.run_id], []]
    assert ended(redis) == 1


def test_manual_runs_are_no_ticks_and_reruns_are(redis: Redis) -> None:
    for flags, name in (("h", "manual_runs_total"), ("hr", "ticks_total"), ("c", "ticks_total")):
        state = State.parse(f"r|1|{flags}|w#1")
        text = count_end("ok", by_hand=state.is_manual)
        assert text == f"{name}|ok| 1"


def test_missed_and_skipped_ticks_count_each(beat: Beat) -> None:
    """The last ten ticks of a minutely job are late, and one of them is to be skipped."""
    now = beat.clock.now = NOW
    row = {"id": "7", "name": "a", "every": 60, "catchup": {"policy": "none"}}
    beat.register(row)
    entry = keys.entry_key("7")
    beat.redis.zadd(keys.SCHEDULE, {entry: now - 600})
    beat.redis.zadd(keys.SKIPS, {RunId("7", now - 300): now - 300})
    beat.redis.expire(keys.SKIPS, 60)
    beat.tick()
    found = counted(beat.redis, "ticks_total")
    assert found["ticks_total|skipped|by_hand"] == 1
    assert found["ticks_total|missed|no_catchup"] == 9
    assert beat.fired() == {"7": [now]}


@pytest.mark.parametrize("skipped", [None, -120, -60], ids=["none", "first", "second"])
def test_overtaken_ticks_count_each(beat: Beat, skipped: int | None) -> None:
    now = beat.clock.now = NOW
    beat.register({"id": "7", "name": "a", "every": 60})
    beat.redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): now - 120})
    if skipped is not None:
        beat.redis.zadd(keys.SKIPS, {RunId("7", now + skipped): now + skipped})
        beat.redis.expire(keys.SKIPS, 60)
    ledger = beat.scheduler.ledger
    stretches = Registry(beat.redis, 7).pause("7", "", now)
    assert counted(beat.redis, "ticks_total").total() >= 1
    for _ in range(2):  # the second call finds nothing to list
        list_overtaken(ledger, Settings(), stretches, "paused", now)
    found = counted(beat.redis, "ticks_total")
    assert found["ticks_total|skipped|by_hand"] == (skipped is not None)
    assert found.total() == 3


def test_a_quarantined_entry_counts_the_tick_that_was_due(redis: Redis) -> None:
    redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): NOW})
    for _ in range(2):
        quarantine_entry(redis, keys.entry_key("7"), "broken", 60)
    assert counted(redis, "ticks_total") == {"ticks_total|missed|set_aside": 1}


def test_lags_and_durations_fall_into_their_buckets(redis: Redis) -> None:
    stored: Counter[str] = Counter()
    for milliseconds in (0, 10, 11, 999, 1000, 10_000_000):
        words = count_end("ok", action="http", duration=milliseconds, attempted=True).split()
        for name, n in zip(words[::2], words[1::2], strict=True):
            stored[name] += int(n)
    families = {each.name: each for each in read_counters({k: str(v) for k, v in stored.items()})}
    samples = families["cron_tasks_run_duration_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert list(buckets) == [*BOUNDS, "+Inf"]
    assert (buckets["0.01"], buckets["0.05"], buckets["1"], buckets["+Inf"]) == (2, 3, 5, 6)
    assert all(low <= high for low, high in pairwise(buckets.values()))
    totals = {s.name: s.value for s in samples if "le" not in s.labels}
    assert totals["cron_tasks_run_duration_seconds_count"] == 6
    assert totals["cron_tasks_run_duration_seconds_sum"] == pytest.approx(10_002.02)


def test_a_counter_of_another_version_or_type_harms_nothing(redis: Redis) -> None:
    odd = {
        "ticks_total": "3",
        "ticks_total|ok|": "x",
        "new_total|a": "1",
        "tick_lag_seconds|0.7": "2",
    }
    families = {each.name: each for each in read_counters(odd)}
    lag = {s.labels.get("le"): s.value for s in families["cron_tasks_tick_lag_seconds"].samples}
    assert (lag["0.5"], lag["1"], lag["+Inf"]) == (0, 2, 2)
    redis.set(keys.METRICS, "text", ex=60)
    it = World(redis)
    assert it.end(it.going(), OK) != []
