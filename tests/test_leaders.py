"""The current leader and since when, the previous ones, and the number of changes."""

import pytest
from driven import Beat
from redis import Redis

from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.vitals.leaders import KEPT, Leader, LeaderHistory, read_leaders
from cron_tasks.vitals.signs import this_host

NOW = 1_800_000_000.0
ANN, BOB = Leader("ann", 7, NOW - 300), Leader("bob", 8, NOW - 2 * DAY)


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        (LeaderHistory(NOW, False, [], 0, None), "No beat is leading, so no job fires"),
        (LeaderHistory(NOW, True, [], 0, None), "A beat is leading"),
        (
            LeaderHistory(NOW, True, [ANN, BOB], 1, 0.5),
            "The beat on ann (process 7) has led for 5 min, 1 beat standing by; "
            "1 change of leader in the last day",
        ),
        (
            LeaderHistory(NOW, True, [ANN] * KEPT, 0, 0.5),
            "The beat on ann (process 7) has led for 5 min, no other beat stands by; "
            "at least 100 changes of leader in the last day",
        ),
        (
            LeaderHistory(NOW, False, [ANN, BOB], 0, 20),
            "No beat is leading, so no job fires. "
            "The last to lead was the beat on ann (process 7), "
            "which has been silent for 20 s",
        ),
        (
            LeaderHistory(NOW, False, [BOB], 0, None),
            "No beat is leading, so no job fires. The last to lead was the beat on bob (process 8)",
        ),
    ],
)
def test_the_sentence(history: LeaderHistory, sentence: str) -> None:
    assert str(history) == sentence


def test_each_change_of_leader_is_noted_once(beat: Beat, redis: Redis) -> None:
    """A beat that keeps leading is recorded once, and one that lost the lock twice."""
    beat.run(3)
    found = read_leaders(redis, beat.clock.now)
    assert [leader.host for leader in found.leaders] == [this_host()]
    assert (found.has_leader, found.standbys) == (True, 0)
    beat.scheduler.leadership.release()
    found = read_leaders(redis, beat.clock.now)
    assert (found.has_leader, found.changes_of_day) == (False, 1)
    beat.tick()
    assert read_leaders(redis, beat.clock.now).changes_of_day == 2


def test_a_key_of_another_type_holds_up_no_beat(beat: Beat, redis: Redis) -> None:
    redis.delete(keys.LEADERS)
    redis.set(keys.LEADERS, "text", ex=60)
    beat.scheduler.leadership.release()
    beat.tick()
    assert redis.exists(keys.LEADER_LOCK)
    assert str(read_leaders(redis, beat.clock.now)) == "A beat is leading"
