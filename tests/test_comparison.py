"""The keys in Redis are compared with one another: whichever single key is lost, jobs fire
again."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from applying import apply
from driven import Beat
from helpers import wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.repair.comparison import Comparison, Differences
from cron_tasks.schedules.catchup import next_fire_time
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler

SECONDLY = {"id": 7, "name": "Tick", "cron_expression": "* * * * * *"}
KEY = keys.entry_key("7")


@pytest.fixture
def comparison(beat: Beat) -> Comparison:
    return Comparison(beat.redis, Settings(), beat.clock)


def test_there_is_nothing_to_mend_where_nothing_was_lost(
    beat: Beat, comparison: Comparison
) -> None:
    beat.register(
        SECONDLY,
        {"id": 8, "name": "off", "every": 5, "enabled": False},
        {"id": 9, "name": "over", "run_at": "2020-01-01T00:00:00Z"},
    )
    beat.run(2)
    assert comparison.find() == Differences()
    assert comparison.mend() == Differences()


def test_a_job_that_is_lost_from_the_schedule_fires_again_and_catches_up(
    beat: Beat, redis: Redis, comparison: Comparison
) -> None:
    beat.register(SECONDLY)
    last = beat.run(2)["7"][-1]
    redis.zrem(keys.SCHEDULE, KEY)
    beat.clock.now += 3
    assert comparison.find().counts == {"unscheduled": 1}
    comparison.mend()
    assert beat.run(1)["7"] == [last + n for n in range(1, 5)]
    assert redis.hget(keys.MENDED, "unscheduled") == "1"


def test_the_leading_beat_mends_a_schedule_that_is_gone(beat: Beat, redis: Redis) -> None:
    beat.register(SECONDLY, {"id": 8, "name": "other", "every": 3600})
    beat.run(2)
    redis.delete(keys.SCHEDULE)
    beat.scheduler._compare_at = beat.scheduler._rebuild_at = 0.0
    beat.tick()
    scheduled = {KEY, keys.entry_key("8"), keys.SYNC_ENTRY}
    assert set(redis.zrange(keys.SCHEDULE, 0, -1)) == scheduled


@pytest.mark.parametrize("rest", ["paused", "disabled"])
def test_a_job_that_rests_is_left_alone(
    beat: Beat, redis: Redis, comparison: Comparison, rest: str
) -> None:
    from cron_tasks.registry.registry import Registry

    registry = Registry(redis)
    beat.register(SECONDLY | {"enabled": rest != "disabled"})
    if rest == "paused":
        registry.pause("7", "stocktaking", beat.clock.now)
    assert comparison.mend() == Differences()
    assert redis.zscore(keys.SCHEDULE, KEY) is None


def test_an_entry_that_no_index_lists_goes_back_into_it(
    beat: Beat, redis: Redis, comparison: Comparison
) -> None:
    beat.register(SECONDLY)
    redis.delete(keys.JOBS)
    found = comparison.mend()
    assert (found.counts, found.needs_sync) == ({"unlisted": 1}, True)
    assert redis.hgetall(keys.JOBS) == {"7": ""}
    assert redis.hget(keys.SOURCE, "doubts") == "1"


@pytest.mark.parametrize(
    "fields", [{}, {"definition": "{"}, {"definition": "[]"}, {"definition": "{}"}, {"meta": "["}]
)
def test_an_unreadable_entry_outside_the_schedule_is_set_aside_once(
    beat: Beat, redis: Redis, comparison: Comparison, fields: dict[str, str]
) -> None:
    beat.register(SECONDLY)
    redis.zrem(keys.SCHEDULE, KEY)
    if fields:
        redis.hset(KEY, mapping=fields)
    else:
        redis.delete(KEY)
    assert comparison.mend().counts == {"unreadable": 1}
    assert redis.hkeys(keys.SET_ASIDE) == [KEY]
    assert redis.hget(keys.JOBS, "7") == ""
    assert comparison.mend() == Differences()


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        ("p|1||", 5),
        ("p|2|h|", 5),
        ("r|1||worker#1", 15),
        ("q|1|q|", 15),
        ("w|2||", 0),
        ("r|1||task:abc", 40),
    ],
)
def test_an_open_tick_without_a_deadline_is_looked_after(
    beat: Beat, redis: Redis, comparison: Comparison, state: str, seconds: int
) -> None:
    beat.register(SECONDLY | {"timeout": 40})
    run_id = "7@2026-11-23T09:00:00Z"
    redis.hset(keys.OPEN, run_id, state)
    assert comparison.mend().counts == {"untimed": 1}
    assert redis.zscore(keys.DEADLINES, run_id) == beat.clock.now + seconds
    assert comparison.mend() == Differences()


def test_what_belongs_to_ticks_that_have_ended_goes(
    beat: Beat, redis: Redis, comparison: Comparison
) -> None:
    going, over = "7@2026-11-23T09:00:00Z", "7@2026-11-23T08:00:00Z"
    redis.hset(keys.OPEN, going, "r|1||worker#1")
    redis.zadd(keys.DEADLINES, {going: beat.clock.now + 9})
    redis.hset(keys.ATTEMPTS, mapping={going: "[]", over: "[]"})
    redis.hset(keys.GOING, mapping={"7": going, "8": over})
    redis.hset(keys.QUEUED, mapping={"8": over})
    for key in (keys.BEFORE, keys.STOP):
        redis.hset(key, mapping={going: "x", over: "x"})
        redis.expire(key, 60)
    assert comparison.mend().counts == {"leftovers": 5}
    assert (redis.hkeys(keys.ATTEMPTS), redis.hkeys(keys.GOING)) == ([going], ["7"])


def test_a_step_looks_at_a_page_and_a_pass_at_all(
    beat: Beat, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cron_tasks.repair import comparison as module

    monkeypatch.setattr(module, "LEAST", 50)
    monkeypatch.setattr(module, "MOST", 50)
    beat.register(*({"id": n, "name": "x", "every": 3600} for n in range(600)))
    redis.delete(keys.SCHEDULE)
    comparison = Comparison(redis, Settings(), beat.clock)
    first = comparison.step().unscheduled
    assert 0 < first < 300
    steps = 1
    while redis.zcard(keys.SCHEDULE) < 600:
        comparison.step()
        steps += 1
        assert steps < 60
    assert comparison.find() == Differences()


def test_a_scheduled_job_without_an_entry_is_found_before_it_is_due(
    beat: Beat, redis: Redis, comparison: Comparison
) -> None:
    beat.register({"id": 7, "name": "Later", "every": 86_400})
    redis.delete(KEY)
    found = comparison.mend()
    assert (found.counts, found.needs_sync) == ({"unreadable": 1}, True)
    assert (redis.zscore(keys.SCHEDULE, KEY), redis.hget(keys.JOBS, "7")) == (None, "")
    # Once the sync has written it again, no tick to come counts as missed or skipped.
    job = validate_row({"id": 7, "name": "Later", "every": 86_400}, timezone="UTC")
    assert isinstance(job, Job)
    apply(redis, Changes(changed=[Desired(job, "x")]), beat.clock.now)
    assert redis.zrange(keys.ACCOUNT_PREFIX + "7", 0, -1) == []
    redis.delete(keys.SCHEDULE)
    due = next_fire_time(job.schedule, beat.clock.now)
    comparison.mend()
    assert redis.zscore(keys.SCHEDULE, KEY) == due


def test_an_entry_whose_name_is_not_text_is_left_alone(
    beat: Beat, redis: Redis, comparison: Comparison
) -> None:
    key = keys.JOB_ENTRY_PREFIX.encode() + b"\xff"
    redis.hset(key, "definition", "x")
    assert comparison.mend() == Differences()
    redis.delete(key)


#: What somebody may delete while all goes on; afterwards each job fires again.
LOST: dict[str, Callable[[Redis], Any]] = {
    "a member of the schedule": lambda r: r.zrem(keys.SCHEDULE, KEY),
    "the schedule": lambda r: r.delete(keys.SCHEDULE),
    "the index": lambda r: r.delete(keys.JOBS),
    "the entry": lambda r: r.delete(KEY),
    "the entry and its member": lambda r: (r.delete(KEY), r.zrem(keys.SCHEDULE, KEY)),
    "the sync's own entry": lambda r: r.delete(keys.SYNC_ENTRY),
    "the sync's own member": lambda r: r.zrem(keys.SCHEDULE, keys.SYNC_ENTRY),
    "the generation": lambda r: r.delete(keys.GENERATION),
    "the source": lambda r: r.delete(keys.SOURCE),
    "the edits": lambda r: r.delete(keys.EDITS),
    "the deadlines": lambda r: r.delete(keys.DEADLINES),
    "all but the validators": lambda r: r.delete(*(k for k in r.keys("*") if k != keys.SOURCE)),
    "everything": lambda r: r.flushall(),
}


def test_whatever_single_key_is_lost_jobs_go_on(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    """One system goes through all losses, because starting it takes longer than a loss."""
    rest.jobs = [SECONDLY, {"id": 8, "name": "other", "every": 1}]
    celery.worker()
    celery.beat()

    def told(job_id: str) -> int:
        rows = redis.lrange("queue:to_telegram", 0, -1)
        return sum(json.loads(row)["job_id"] == job_id for row in rows)

    wait_until(lambda: told("7") > 1 and told("8") > 1, "the first ticks")
    for name, lose in LOST.items():
        lose(redis)
        before = {job_id: told(job_id) for job_id in ("7", "8")}
        wait_until(
            lambda before=before: all(told(job_id) > n + 1 for job_id, n in before.items()),
            f"ticks after the loss of {name}",
        )
        wait_until(
            lambda: redis.hkeys(keys.JOBS) and redis.zscore(keys.SCHEDULE, keys.SYNC_ENTRY),
            f"the index and the sync's entry after the loss of {name}",
        )
    # The index was lost while a job was removed: it does not fire for ever.
    redis.delete(keys.JOBS)
    rest.jobs = [SECONDLY]
    wait_until(lambda: redis.zscore(keys.SCHEDULE, keys.entry_key("8")) is None, "its removal")
    ids = [json.loads(row)["id"] for row in redis.lrange("queue:to_telegram", 0, -1)]
    assert len(ids) == len(set(ids))


def test_a_sync_without_a_beat_mends_what_is_lost(redis: Redis, rest: RestServer) -> None:
    rest.jobs = [SECONDLY, {"id": 8, "name": "other", "every": 3600}]
    reconciler = Reconciler(redis, Settings(rest_url=rest.url))
    reconciler.sync(time.time)
    report = reconciler.sync(time.time)
    assert report
    assert report.not_modified
    before = set(redis.zrange(keys.SCHEDULE, 0, -1))
    redis.delete(keys.SCHEDULE)
    reconciler.sync(time.time)
    assert set(redis.zrange(keys.SCHEDULE, 0, -1)) == before
    redis.delete(keys.JOBS)
    rest.jobs = [SECONDLY]
    report = reconciler.sync(time.time)
    assert report
    assert report.changes.removed == ["8"]
    assert not redis.exists(keys.entry_key("8"))
