"""An edit of jitter never fires the same nominal tick twice, and the audit agrees."""

import time
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from typing import Any

import pytest
from applying import apply
from command_line import Quick
from driven import Beat
from redis import Redis
from test_account import START, Story, hours

from cron_tasks.audit.tally import Tally
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.fence import sync_lock
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.writer import Writer
from cron_tasks.runs.result import Result
from cron_tasks.schedules.catchup import next_fire_time
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys

KEY = keys.entry_key("7")


@cache
def jitter_of(offset: int) -> int:
    """The least jitter that gives job 7 this offset."""
    number = int.from_bytes(blake2b(b"7", digest_size=8).digest())
    return next(most for most in range(offset, 2_678_401) if number % (most + 1) == offset)


def row(offset: int, **more: Any) -> dict[str, Any]:
    """An hourly job whose ticks are due `offset` seconds after the hour."""
    fields = {"id": 7, "name": "Water the plants", "cron_expression": "0 * * * *"} | more
    return fields | {"jitter": jitter_of(offset)}


def desired(listed: dict[str, Any]) -> Desired:
    job = validate_row(listed, timezone="UTC")
    assert isinstance(job, Job)
    return Desired(job, str(listed))


@pytest.fixture
def hour(beat: Beat) -> float:
    """The full hour at which the job, registered long before, is about to be due."""
    beat.clock.now = hour = beat.clock.now // 3600 * 3600 + 3600
    beat.clock.now -= 1800
    beat.register(row(0))
    beat.clock.now = hour - 1
    return hour


def edited(beat: Beat, at: float, listed: dict[str, Any]) -> None:
    beat.clock.now = at
    apply(beat.redis, Changes(changed=[desired(listed)]), at)


def fired(beat: Beat, until: float) -> list[float]:
    """The ticks of the job, with a turn of beat at each due time."""
    ticks = []
    while (due := beat.redis.zscore(keys.SCHEDULE, KEY)) is not None and due <= until:
        beat.clock.now = max(due, beat.clock.now)
        beat.tick()
        ticks += beat.fired()["7"]
    return ticks


@pytest.mark.parametrize(
    "edits",
    [
        [(20, row(40))],
        [(20, row(40)), (25, row(50))],
        [(20, row(40)), (25, row(30)), (35, row(3001))],
        [(20, row(40, name="Other", tags=["x"], notify={"on": ["failure"]}))],
        [(20, row(40, timeout=9, overlap="queue"))],
        [(20, row(40, enabled=False)), (25, row(40))],
        [(20, row(0, enabled=False)), (25, row(40))],
        [(20, row(40, cron_expression="0 */1 * * *"))],
        [(20, row(40, exclude=[{"from": "23:59", "to": "00:00"}]))],
        [(20, row(40, end_at="2099-01-01"))],
        [(0.25, row(1)), (0.75, row(2))],
    ],
)
def test_an_edit_fires_no_nominal_tick_twice(
    beat: Beat, hour: float, edits: list[tuple[float, dict[str, Any]]]
) -> None:
    assert fired(beat, hour + 1) == [hour]
    for seconds, listed in edits:
        edited(beat, hour + seconds, listed)
    offset = desired(edits[-1][1]).job.schedule.to_spec()["j"]
    assert fired(beat, hour + 10_799) == [hour + 3600 + offset, hour + 7200 + offset]


def test_jitter_that_grows_and_shrinks_again_fires_each_nominal_tick_once(
    beat: Beat, hour: float
) -> None:
    nominal = [fired(beat, hour)[0]]
    for number, offset in enumerate((40, 10, 3001, 2900, 0, 3593, 1, 2), 1):
        edited(beat, hour + (number - 1) * 3600 + 3599.5, row(offset))
        at = hour + number * 3600
        ticks = fired(beat, at + 3593)
        assert ticks == [at + offset]
        nominal.append(at)
    assert nominal == sorted(set(nominal))


def test_a_tick_that_has_not_fired_is_due_with_the_new_jitter(beat: Beat, hour: float) -> None:
    edited(beat, hour - 10, row(40))
    edited(beat, hour + 20, row(50))
    assert fired(beat, hour + 3600) == [hour + 50]
    edited(beat, hour + 3620, row(30))
    edited(beat, hour + 3625, row(35))
    assert fired(beat, hour + 7200) == [hour + 3635]


def test_an_edit_of_jitter_still_fires_strictly_later(beat: Beat, hour: float) -> None:
    edited(beat, hour - 10, row(40))
    edited(beat, hour + 20, row(10))
    assert fired(beat, hour + 3700) == [hour + 3610]


def test_a_new_job_fires_with_jitter_that_is_edited_before(beat: Beat, hour: float) -> None:
    """Its nominal time lies before the job was added, its due time after that."""
    beat.redis.delete(KEY, keys.SCHEDULE, keys.JOBS)
    beat.clock.now = hour + 20
    beat.register(row(40))
    edited(beat, hour + 25, row(50))
    assert fired(beat, hour + 3600) == [hour + 50]


def test_a_paused_job_does_not_fire_again_after_it_is_resumed(beat: Beat, hour: float) -> None:
    registry = Registry(beat.redis)
    assert fired(beat, hour + 1) == [hour]
    registry.pause("7", "stocktaking", hour + 10)
    edited(beat, hour + 20, row(40))
    assert registry.resume("7", hour + 30)
    edited(beat, hour + 35, row(50))
    registry.pause("7", "stocktaking", hour + 36)
    edited(beat, hour + 37, row(55))
    assert registry.resume("7", hour + 38)
    assert fired(beat, hour + 3700) == [hour + 3655]


def remove(beat: Beat, at: float) -> None:
    beat.clock.now = at
    apply(beat.redis, Changes(removed=["7"]), at)


@pytest.mark.parametrize("times", [1, 3])
def test_a_job_that_comes_back_with_other_jitter_does_not_fire_again(
    beat: Beat, hour: float, times: int
) -> None:
    assert fired(beat, hour + 1) == [hour]
    for n in range(times):
        remove(beat, hour + 20 + n)
        edited(beat, hour + 20.5 + n, row(37 + n))
    edited(beat, hour + 30, row(55))
    assert fired(beat, hour + 3700) == [hour + 3655]


def test_a_job_that_comes_back_before_its_tick_fires_it(beat: Beat, hour: float) -> None:
    edited(beat, hour - 10, row(1800))
    remove(beat, hour + 600)
    edited(beat, hour + 660, row(1700))
    assert fired(beat, hour + 3600) == [hour + 1700]


def test_a_job_that_an_earlier_version_removed_does_not_fire_again(beat: Beat, hour: float) -> None:
    assert fired(beat, hour + 1) == [hour]
    remove(beat, hour + 20)
    beat.redis.delete(keys.VERSIONS_PREFIX + "7")
    edited(beat, hour + 25, row(40))
    assert fired(beat, hour + 3700) == [hour + 3640]


def test_a_one_off_does_not_fire_again(beat: Beat) -> None:
    at = beat.clock.now + 60
    once = {"id": 7, "name": "Once", "run_at": datetime.fromtimestamp(at, UTC).isoformat()}
    fields = {"cron_expression": None}
    beat.register(row(10, **once, **fields))
    assert fired(beat, at + 20) == [at + 10]
    with sync_lock(beat.redis) as fence:
        assert fence
        changes = Changes(changed=[desired(row(30, **once, **fields))])
        writer = Writer(beat.redis, Registry(beat.redis).audited, fence)
        writer.write(changes, lambda: at + 20, last_read=at)
    assert fired(beat, at + 900) == []


@pytest.mark.parametrize("change", ["edit", "pause", "come back", "edit twice"])
def test_the_audit_expects_each_nominal_tick_once(redis: Redis, change: str) -> None:
    story, listed = Story(redis), row(0)
    story.sync(START, listed)
    story.run(3)
    assert story.audit(START, hours(3.1)) == Tally(expected=3, ok=3)
    now = hours(3) + 20
    if change == "pause":
        story.registry.pause("7", "stocktaking", now)
        story.sync(now + 1, row(40))
        assert story.registry.resume("7", now + 2)
    elif change == "come back":
        story.sync(now)
        story.sync(now + 1, row(40))
    else:
        story.sync(now, row(60 if change == "edit twice" else 40))
        story.sync(now + 1, row(40))
    assert redis.zscore(keys.SCHEDULE, KEY) == hours(4) + 40
    due = [story.fire() for _ in range(2)]
    assert due == [hours(4) + 40, hours(5) + 40]
    for tick in due:
        story.end(tick, Result("ok"))
    assert story.audit(START, hours(5.5)) == Tally(expected=5, ok=5)
    assert "no schedule was in force" in story.why(hours(3) + 40, hours(5.5))


def test_the_command_finds_no_tick_lost_after_an_edit_of_jitter(redis: Redis, quick: Quick) -> None:
    story, begin = Story(redis), time.time() // 3600 * 3600 - 6 * 3600
    story.sync(begin + 1, row(0))
    story.run(2)
    story.sync(begin + 2 * 3600 + 20, row(1800))  # the tick of 2:00 has fired
    assert redis.zscore(keys.SCHEDULE, KEY) == begin + 3 * 3600 + 1800
    story.run(2)
    story.sync(begin + 4 * 3600 + 1900, row(10))  # so has that of 4:00, at 4:30
    assert redis.zscore(keys.SCHEDULE, KEY) == begin + 5 * 3600 + 10
    story.run(1)
    facts = quick.json("audit", "--since", iso_utc(begin), code=0)
    assert (facts["ok"], facts["lost"]) == (5, [])
    assert facts["expected"] == 5 + facts["open"]


@pytest.mark.parametrize("seconds", [1.0, 20.0, 39.0])
def test_a_missed_tick_is_not_made_up_for_by_an_edit(redis: Redis, seconds: float) -> None:
    story = Story(redis)
    story.sync(START, row(0))
    story.fire(missed=(hours(1), hours(2)))
    assert next_fire_time(desired(row(40)).job.schedule, hours(2) + seconds) == hours(2) + 40
    story.sync(hours(2) + seconds, row(40))
    assert redis.zscore(keys.SCHEDULE, KEY) == hours(3) + 40


def test_edits_at_any_time_fire_each_nominal_tick_at_most_once(beat: Beat, hour: float) -> None:
    offsets = [40, 3593, 0, 1800, 1801, 7, 3001, 1, 900]
    ticks, at = fired(beat, hour), hour + 13.5
    counted = [int(ticks[0] // 3600)]
    while at < hour + 30_000:
        edited(beat, at, row(offsets[int(at) % len(offsets)]))
        counted += [int(tick // 3600) for tick in fired(beat, at + 500)]
        at += 701
    assert counted == sorted(set(counted))
