"""Beat on a clock of the tests, for long periods and broken clocks."""

import json
import math
import time

import pytest
from driven import Beat
from helpers import NEVER_DUE, ended_runs, wait_until
from processes import Celery
from rest_server import RestServer

from cron_tasks.ledger.ledger import LEASE, PATIENCE
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

QUEUE = "queue:to_telegram"
SECONDLY = {"id": "secondly", "name": "x", "every": 1}
POLICIES = [
    SECONDLY | {"id": policy, "catchup": {"policy": policy, "window": 600}}
    for policy in ("one", "none", "all")
]


def test_a_clock_put_forward_is_an_outage_for_the_catch_up_policy(beat: Beat) -> None:
    beat.register(*POLICIES)
    start = beat.clock.now
    assert beat.run(3) == {row["id"]: [start + 1, start + 2, start + 3] for row in POLICIES}
    beat.clock.now += 3600
    now = beat.clock.now + 1
    assert beat.run(1) == {
        "one": [now - late for late in range(15, -1, -1)],
        "none": [now - late for late in range(15, -1, -1)],
        "all": [now - late for late in range(600, -1, -1)],
    }
    assert beat.run(2) == {row["id"]: [now + 1, now + 2] for row in POLICIES}
    for row in POLICIES:
        (gap,) = map(json.loads, beat.redis.lrange(keys.HISTORY_PREFIX + row["id"], 0, -1))
        assert gap["scheduled_for"] == iso_utc(start + 4)


def test_a_clock_put_back_fires_nothing_twice(beat: Beat) -> None:
    """A time that the clock shows again has had its tick. Jobs continue where they were."""
    beat.register(*POLICIES)
    start = beat.clock.now
    beat.run(3)
    beat.clock.now -= 3600
    assert beat.run(5) == {}
    ticks, end = 0, time.monotonic() + 2
    while time.monotonic() < end:
        beat.scheduler.tick()
        ticks += 1
    assert ticks < 20, "nothing is due, so beat sleeps"
    beat.clock.now = start + 3
    assert beat.run(2) == {row["id"]: [start + 4, start + 5] for row in POLICIES}


def test_a_step_leaves_workers_the_time_to_renew_their_leases(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.beat.clock.LEASE", 1.0)
    beat.register(SECONDLY | {"id": "at work"}, SECONDLY | {"id": "dead"})
    ledger = beat.scheduler.ledger
    ticks = [(RunId(job, beat.clock.now), job) for job in ("at work", "dead")]
    for tick, job in ticks:
        ledger.open([tick], beat.clock.now)
        assert ledger.claim(job, beat.clock.now, [tick])

    def states() -> list[str]:
        return list(beat.redis.hmget(keys.OPEN, [tick for tick, _ in ticks]))

    beat.clock.now += 3600
    beat.tick()
    assert states() == ["r|1|h|at work", "r|1|h|dead"]
    assert ledger.renew("at work", beat.clock.now, [ticks[0][0]]) == {}

    def handed_back() -> bool:
        beat.tick()
        return states()[1].startswith("p|")

    wait_until(handed_back, "the dead worker's tick to be handed back")
    assert states()[0] == "r|1|h|at work"


def test_an_outage_leaves_workers_the_time_to_finish(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead worker's run ends only if nobody renews its lease afterwards."""
    monkeypatch.setattr("cron_tasks.beat.scheduler.LEASE", math.inf)
    action = {"type": "http", "url": "http://x.example"}
    beat.register(SECONDLY, {"id": "dead", "name": "x", **NEVER_DUE, "action": action})
    tick = RunId("dead", beat.clock.now)
    ledger = beat.scheduler.ledger
    ledger.open([tick], beat.clock.now)
    assert ledger.claim("worker", beat.clock.now, [tick])
    beat.clock.now += 1
    beat.redis.config_set("maxmemory", 1)
    beat.scheduler.tick()
    beat.redis.config_set("maxmemory", 0)
    for _ in range(2):
        beat.clock.now += LEASE + 1
        beat.tick()
        assert beat.redis.zscore(keys.DEADLINES, tick) == beat.clock.now + LEASE
    beat.scheduler._spares_until = 0.0
    beat.clock.now += LEASE + 1
    beat.tick()
    assert not beat.redis.hexists(keys.OPEN, tick)


def test_a_leader_that_lost_its_lock_in_the_middle_of_a_tick_changes_nothing(beat: Beat) -> None:
    beat.register(SECONDLY)
    beat.clock.now += 1
    due = beat.due()
    beat.redis.set(keys.LEADER_LOCK, "another's", ex=60)
    beat.tick()
    assert due == beat.due() == [keys.entry_key("secondly")]
    assert not beat.messages()
    assert not beat.redis.exists(keys.OPEN)
    beat.redis.delete(keys.LEADER_LOCK)
    beat.tick()
    assert len(beat.messages()) == 1


def test_a_message_that_dies_with_its_worker_is_sent_again(beat: Beat) -> None:
    """A worker takes it from the queue, and is killed before it claims the tick."""
    beat.register({"id": 1, "name": "x", "run_at": iso_utc(beat.clock.now + 1)})
    beat.clock.now += 1
    beat.tick()
    sent = beat.messages()
    assert len(sent) == 1
    beat.redis.delete("cron_tasks")
    for waited in range(1, int(PATIENCE) + 1):
        assert not beat.messages(), f"sent again after {waited - 1} s"
        beat.clock.now += 1
        beat.tick()
    assert beat.messages() == sent


def test_a_sync_every_second_keeps_an_interval_of_four(beat: Beat, rest: RestServer) -> None:
    """The row changes with every sync, but not its schedule."""
    reconciler = Reconciler(beat.redis, Settings(rest_url=rest.url))
    ticks: list[float] = []
    start = beat.clock.now
    for second in range(120):
        rest.jobs = [{"id": "four", "name": f"edit {second}", "every": 4}]
        assert reconciler.sync(beat.clock)
        ticks += beat.run(1).get("four", [])
    assert ticks == [start // 4 * 4 + 4 * n for n in range(1, 31)]


def test_minutes_without_a_worker_are_bounded_and_accounted_for(
    beat: Beat, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.beat.clock.LEASE", 0.0)
    window, outage = 60, 120
    end = beat.clock.now
    beat.clock.now = start = end - outage
    beat.register(*(row | {"catchup": row["catchup"] | {"window": window}} for row in POLICIES))
    for _ in range(outage):
        beat.clock.now += 1
        beat.tick()
    reach = {"one": 25, "none": 25, "all": window + 10}
    assert beat.redis.hlen(keys.OPEN) < sum(reach.values())
    celery.worker(CRON_TASKS_HISTORY_RUNS="1000")

    def worked_off() -> bool:
        beat.clock.now = time.time()
        beat.tick()
        waiting = [*map(RunId.stored, beat.redis.hkeys(keys.OPEN)), *beat.batched()]
        told = {json.loads(each)["job_id"] for each in beat.redis.lrange(QUEUE, 0, -1)}
        return told == set(reach) and all(run.scheduled_for > end for run in waiting)

    wait_until(worked_off, "the backlog to be worked off")
    for policy, seconds in reach.items():
        history = ended_runs(beat.redis, policy)
        ended = {RunId.stored(each["run_id"]).scheduled_for: each for each in history}
        assert len(ended) == len(history), "ended twice"
        assert set(ended) >= {start + n for n in range(1, outage + 1)}, "not accounted for"
        ran = {when for when, each in ended.items() if each["status"] == "ok"}
        assert min(ran) >= end - seconds


def test_a_full_queue_gets_no_more_and_its_ticks_wait(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.beat.publisher.QUEUE_FULL", 10)
    beat.register(SECONDLY | {"catchup": {"policy": "all"}})

    def full() -> bool:
        beat.clock.now += 1
        beat.tick()
        return beat.redis.hlen(keys.OPEN) > beat.redis.llen("cron_tasks")

    wait_until(full, "the queue to be left alone")
    length = beat.redis.llen("cron_tasks")
    assert full()
    assert beat.redis.llen("cron_tasks") == length
    beat.redis.delete("cron_tasks")
    wait_until(lambda: full() and beat.redis.llen("cron_tasks") > 0, "the ticks to be sent")


def test_a_registry_that_is_about_to_be_built_is_not_asked_for_again(beat: Beat) -> None:
    """The first turn has requested it. Another request would read the list twice."""
    redis = beat.redis
    requests = lambda: redis.llen(keys.SYNC_QUEUE)  # noqa: E731
    assert requests() == 1
    redis.delete(keys.SYNC_WANTED)
    redis.sadd(keys.SYNC_TAKEN, "*")
    beat.scheduler._rebuild_at = 0.0
    beat.tick()
    assert requests() == 1, "a worker reads the list"
    redis.delete(keys.SYNC_TAKEN)
    beat.scheduler._rebuild_at = 0.0
    beat.tick()
    assert requests() == 2, "nobody does, and there still is no registry"
