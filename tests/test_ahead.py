"""Ticks are judged seconds ahead, and changes until their time still apply."""

from collections.abc import Callable
from typing import Any

import pytest
from applying import apply
from driven import Beat

from cron_tasks.beat.due import PAGE
from cron_tasks.registry import skips
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.registry import Registry
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys

MINUTELY = {"id": "7", "name": "x", "cron_expression": "* * * * *"}
HALF_MINUTELY = {"id": "7", "name": "x", "every": 30}


@pytest.fixture
def minute(beat: Beat) -> float:
    """Return the next whole minute. A minutely job has been judged two seconds before it."""
    due = beat.clock.now // 60 * 60 + 60
    beat.clock.now = due - 10
    beat.register(MINUTELY)
    beat.clock.now = due - 2
    beat.tick()
    return due


def reads(beat: Beat) -> int:
    """Return the number of entries that beat has read so far."""
    return int(beat.redis.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"])


def test_when_the_time_comes_no_entry_is_read_any_more(beat: Beat) -> None:
    due = beat.clock.now + 3
    beat.register(*({"id": n, "name": "x", "run_at": iso_utc(due)} for n in range(50)))
    beat.tick()
    before = reads(beat)
    beat.clock.now = due
    beat.tick()
    # A thread of beat reads a few fields a second. The entries would be 50.
    assert reads(beat) - before < 25
    assert len(beat.fired()) == 50


def change(row: dict[str, Any]) -> Callable[[Beat], None]:
    return lambda beat: beat.register(row)


def remove(beat: Beat) -> None:
    apply(beat.redis, Changes(removed=["7"]), beat.clock.now)


def replace(beat: Beat) -> None:
    remove(beat)
    beat.register(HALF_MINUTELY)


def empty(beat: Beat) -> None:
    beat.redis.flushall()
    beat.register(HALF_MINUTELY)


def empty_before_the_lock_is_extended(beat: Beat) -> None:
    beat.redis.flushall()
    beat.register(HALF_MINUTELY)
    beat.scheduler.leadership._extended = float("-inf")
    beat.tick()


def pause(beat: Beat) -> None:
    Registry(beat.redis).pause("7", "", beat.clock.now)


def rest(beat: Beat) -> None:
    pause(beat)
    Registry(beat.redis).resume("7", beat.clock.now)


def skip(beat: Beat) -> None:
    assert skips.add_skip(beat.redis, "7", beat.clock.now + 1, beat.clock.now)


def skip_and_undo(beat: Beat) -> None:
    skip(beat)
    assert skips.remove_skip(beat.redis, "7", beat.clock.now + 1, beat.clock.now)


def lose_the_lead(beat: Beat) -> None:
    beat.redis.set(keys.LEADER_LOCK, "another's", ex=60)
    beat.tick()
    beat.redis.delete(keys.LEADER_LOCK)


@pytest.mark.parametrize(
    ("happens", "fires", "then"),
    [
        (change(MINUTELY | {"name": "y"}), [0], 60),
        (change(HALF_MINUTELY), [0], 30),
        (change(MINUTELY | {"enabled": False}), [], None),
        (change(HALF_MINUTELY | {"id": "8"}), [0], 60),
        (remove, [], None),
        (replace, [0], 30),
        (empty, [0], 30),
        (empty_before_the_lock_is_extended, [0], 30),
        (pause, [], None),
        (rest, [0], 60),
        (skip, [], 60),
        (skip_and_undo, [0], 60),
        (lose_the_lead, [0], 60),
    ],
)
def test_what_happens_in_the_last_seconds_counts(
    beat: Beat,
    minute: float,
    happens: Callable[[Beat], None],
    fires: list[float],
    then: float | None,
) -> None:
    beat.clock.now = minute - 1
    happens(beat)
    beat.clock.now = minute
    for _ in range(3):
        beat.tick()
    assert beat.fired().get("7", []) == [minute + late for late in fires]
    upcoming = beat.redis.zscore(keys.SCHEDULE, keys.entry_key("7"))
    assert upcoming == (None if then is None else minute + then)


def test_a_job_added_in_the_last_second_fires_with_the_others(beat: Beat, minute: float) -> None:
    beat.register(MINUTELY | {"id": "new"}, {"id": "sooner", "name": "x", "every": 1})
    assert beat.run(2) == {"7": [minute], "new": [minute], "sooner": [minute - 1, minute]}


def test_a_broken_number_of_edits_holds_nothing_up(beat: Beat, minute: float) -> None:
    beat.redis.set(keys.EDITS, "garbage")
    assert beat.run(2) == {"7": [minute]}
    beat.register(HALF_MINUTELY)
    assert beat.run(31) == {"7": [minute + 30]}


def test_what_was_judged_before_an_outage_is_judged_anew(beat: Beat, minute: float) -> None:
    beat.clock.now = minute + 600
    beat.tick()
    assert beat.fired() == {"7": [minute + 600]}
    assert beat.redis.llen(keys.HISTORY_PREFIX + "7") == 1, "the missed ones are recorded"


def test_pages_of_jobs_fire_once_each_though_some_go_meanwhile(
    beat: Beat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.beat.lookahead.MOST", 2 * PAGE)
    due = beat.clock.now + 3
    names_of = [str(n) for n in range(3 * PAGE)]
    beat.register(*({"id": n, "name": "x", "run_at": iso_utc(due)} for n in names_of))
    beat.tick()
    (last,) = beat.redis.zrange(keys.SCHEDULE, PAGE - 1, PAGE - 1)
    gone = keys.job_id_of(last)
    apply(beat.redis, Changes(removed=[str(gone)]), beat.clock.now)
    beat.tick()
    beat.tick()
    beat.clock.now = due
    beat.tick()
    assert beat.fired() == {name: [due] for name in names_of if name != gone}
