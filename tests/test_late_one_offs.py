"""A one-off that becomes known after its time: "in 30 seconds", with a sync every minute."""

from datetime import UTC, datetime
from typing import Any

import pytest
from driven import Beat
from redis import Redis
from rest_server import RestServer

from cron_tasks.ledger.run_id import RunId
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.reconciler import Reconciler


class Story:
    """A service that is read from time to time, and a beat, both on one clock."""

    def __init__(self, beat: Beat, redis: Redis, rest: RestServer) -> None:
        self.beat, self.redis, self.rest = beat, redis, rest
        self.reconciler = Reconciler(redis, Settings(rest_url=rest.url))
        beat.clock.now = float(int(beat.clock.now))
        self.start = beat.clock.now

    def sync(self, after: float, *rows: dict[str, Any]) -> None:
        self.beat.clock.now = self.start + after
        self.rest.jobs = list(rows)
        report = self.reconciler.sync(self.beat.clock)
        assert report
        assert report.state == "ok"

    def job(self, at: float, **more: Any) -> dict[str, Any]:
        when = datetime.fromtimestamp(self.start + at, UTC).isoformat()
        return {"id": 7, "name": "Reminder", "run_at": when} | more


@pytest.fixture
def story(beat: Beat, redis: Redis, rest: RestServer) -> Story:
    story = Story(beat, redis, rest)
    story.sync(0)
    return story


@pytest.mark.parametrize(
    "more", [{}, {"run_at": None, "rrule": "FREQ=DAILY;COUNT=1"}], ids=["run_at", "rrule"]
)
@pytest.mark.parametrize("at", [0.5, 30, 59.5])
def test_a_new_one_that_came_due_since_the_last_read_runs_at_once(
    story: Story, at: float, more: dict[str, Any]
) -> None:
    if more:
        when = datetime.fromtimestamp(story.start + int(at), UTC)
        at, more = int(at), {**more, "start_at": when.isoformat()}
    if at == 0:
        return  # Of the very second of the read: it was in that list, or is older.
    row = {name: value for name, value in (story.job(at) | more).items() if value is not None}
    story.sync(60, row)
    assert story.beat.run(1) == {"7": [story.start + at]}
    assert story.beat.run(3) == {}


def test_an_edited_one_runs_at_once_and_once(story: Story) -> None:
    story.sync(60, story.job(3600))
    story.sync(120, story.job(90))
    assert story.beat.run(2) == {"7": [story.start + 90]}
    story.sync(180, story.job(90, name="Renamed"))
    assert story.beat.run(2) == {}


def test_an_edit_of_one_that_has_just_fired_fires_nothing(story: Story) -> None:
    story.sync(60, story.job(90))
    story.beat.clock.now = story.start + 90
    assert story.beat.run(1) == {"7": [story.start + 90]}
    story.sync(100, story.job(90, name="Renamed"))
    story.sync(110, story.job(89.5))
    assert story.beat.run(2) == {}


def test_one_that_its_policy_refuses_is_recorded_and_told(story: Story, redis: Redis) -> None:
    policy = {"catchup": {"policy": "none"}, "notify": {"on": ["missed"]}, "chat_id": 1}
    story.sync(60, story.job(20, **policy))
    assert story.beat.run(1) == {}
    assert '"status":"missed"' in redis.lindex(keys.HISTORY_PREFIX + "7", 0)
    assert "missed" in redis.lindex("queue:to_telegram", 0)


@pytest.mark.parametrize("at", [-5, -86_400])
def test_an_older_one_neither_runs_nor_is_told(story: Story, redis: Redis, at: float) -> None:
    story.sync(60, story.job(at))
    assert story.beat.run(2) == {}
    assert not redis.exists(keys.HISTORY_PREFIX + "7", "queue:to_telegram")


@pytest.mark.parametrize("lost", ["everything", keys.GENERATION, keys.SOURCE])
def test_a_rebuilt_registry_runs_no_old_one(story: Story, redis: Redis, lost: str) -> None:
    if lost == "everything":
        redis.flushall()
    else:
        redis.delete(lost)
    story.sync(60, story.job(30))
    assert RunId("7", story.start + 30) not in redis.hkeys(keys.OPEN)
    assert redis.zscore(keys.SCHEDULE, keys.entry_key("7")) is None


def test_the_first_list_runs_none(beat: Beat, redis: Redis, rest: RestServer) -> None:
    story = Story(beat, redis, rest)
    story.sync(60, story.job(59.9))
    assert beat.run(2) == {}


def test_a_disabled_or_paused_one_does_not_run(story: Story) -> None:
    story.sync(60, story.job(30, enabled=False))
    assert story.beat.run(2) == {}
