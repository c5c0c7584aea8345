"""No due time is set at or before the last fired tick of an entry, whatever clock the writer
has."""

from typing import Any

import pytest
from applying import apply
from driven import Beat
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.registry.registry import Registry
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys

SECONDLY = {"id": 7, "name": "Tick", "cron_expression": "* * * * * *"}
KEY = keys.entry_key("7")


def desired(row: dict[str, Any], fingerprint: str = "another") -> Desired:
    job = validate_row(row, timezone="UTC")
    assert isinstance(job, Job)
    return Desired(job, fingerprint)


def score(redis: Redis) -> float:
    due = redis.zscore(keys.SCHEDULE, KEY)
    assert due is not None
    return due


@pytest.fixture
def fired(beat: Beat) -> float:
    """Return the last tick that a job of every second has fired."""
    beat.register(SECONDLY)
    return beat.run(3)["7"][-1]


@pytest.mark.parametrize("behind", [0.0, 0.8, 1.0, 60.0])
@pytest.mark.parametrize(
    "edit",
    [{"every": 1}, {"every": 5}, {"cron_expression": "* * * * * *", "timezone": "Asia/Tokyo"}],
)
def test_an_edit_by_a_late_clock_fires_nothing_twice(
    beat: Beat, redis: Redis, fired: float, behind: float, edit: dict[str, Any]
) -> None:
    row = {"id": 7, "name": "Tick"} | edit
    apply(redis, Changes(changed=[desired(row)]), beat.clock.now - behind)
    assert score(redis) > fired
    ticks = beat.run(6)["7"]
    assert ticks[0] > fired
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize("behind", [0.8, 60.0])
def test_an_edit_that_keeps_the_timing_fires_nothing_twice(
    beat: Beat, redis: Redis, fired: float, behind: float
) -> None:
    redis.zrem(keys.SCHEDULE, KEY)
    row = SECONDLY | {"name": "Tock"}
    apply(redis, Changes(changed=[desired(row)]), beat.clock.now - behind)
    assert score(redis) == fired + 1


@pytest.mark.parametrize("behind", [0.8, 60.0])
def test_a_job_that_is_removed_and_comes_back_fires_nothing_twice(
    beat: Beat, redis: Redis, fired: float, behind: float
) -> None:
    for _ in range(3):
        apply(redis, Changes(removed=["7"]), beat.clock.now - behind)
        apply(redis, Changes(added=[desired(SECONDLY)]), beat.clock.now - behind)
    assert score(redis) == fired + 1


@pytest.mark.parametrize("behind", [0.8, 60.0])
def test_a_pause_that_ends_by_a_late_clock_fires_nothing_twice(
    beat: Beat, redis: Redis, fired: float, behind: float
) -> None:
    registry = Registry(redis)
    registry.pause("7", "stocktaking", beat.clock.now - behind)
    assert registry.resume("7", beat.clock.now - behind)
    assert score(redis) == fired + 1


def test_a_job_that_has_ended_does_not_begin_again(beat: Beat, redis: Redis) -> None:
    once = {"id": 7, "name": "Once", "run_at": iso_utc(beat.clock.now + 2)}
    beat.register(once)
    due = score(redis)
    beat.clock.now = due
    beat.tick()
    assert beat.fired() == {"7": [due]}
    apply(redis, Changes(changed=[desired(once | {"name": "One"})]), due - 0.8)
    assert redis.zscore(keys.SCHEDULE, KEY) is None


def test_the_versions_of_a_job_never_overlap_what_it_fired(
    beat: Beat, redis: Redis, fired: float
) -> None:
    apply(redis, Changes(changed=[desired({"id": 7, "name": "Tick", "every": 5})]), fired - 0.8)
    assert float(redis.hget(KEY, "since")) == fired
    assert f'"until": {fired:.6f}' in redis.lindex(keys.VERSIONS_PREFIX + "7", 0)


@pytest.mark.parametrize(
    "edit", [{"queue": "slow"}, {"priority": 3}, {"action": None}, {"name": "x"}]
)
def test_any_edit_ends_what_was_judged_ahead(
    beat: Beat, redis: Redis, edit: dict[str, Any]
) -> None:
    """A tick that was judged before an edit does not follow the old version."""
    from cron_tasks.jobs.permissions import Permissions

    row = {"id": 7, "name": "Later", "run_at": iso_utc(beat.clock.now + 4)}
    beat.register(row)
    beat.tick()
    if edit.get("action", "") is None:
        edit = {"action": {"type": "http", "url": "http://127.0.0.1:9/"}}
    job = validate_row(row | edit, timezone="UTC", permissions=Permissions(http=("127.0.0.1",)))
    assert isinstance(job, Job)
    read = int(redis.get(keys.EDITS))
    apply(redis, Changes(changed=[Desired(job, "another")]), beat.clock.now)
    assert int(redis.hget(KEY, "edit")) > read
