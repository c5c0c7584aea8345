"""`expect_within`: a run that does not end in time is notified once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from applying import apply
from command_line import CommandLine
from driven import Beat
from redis import Redis

from cron_tasks.beat.late import tell_late_runs
from cron_tasks.beat.plain import is_plain
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.alarms import Alarms
from cron_tasks.ledger.records import Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.registry.plan import Changes
from cron_tasks.runs.late import write_late_message
from cron_tasks.settings import Settings
from cron_tasks.store import keys

QUEUE = "queue:to_telegram"
JOB: dict[str, Any] = {
    "id": "a",
    "name": "Backup",
    "every": 3600,
    "expect_within": 600,
    "notify": {"on": ["late"]},
    "chat_id": 5,
}


def told(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(each) for each in redis.lrange(QUEUE, 0, -1)]


def fire(beat: Beat, **fields: Any) -> RunId:
    """Let the job's next fire time come, and return its run."""
    beat.register(JOB | fields)
    beat.clock.now = beat.redis.zscore(keys.SCHEDULE, keys.entry_key("a"))
    beat.tick()
    (run_id,) = beat.redis.hkeys(keys.OPEN)
    return RunId.stored(run_id)


def end(beat: Beat, run_id: RunId) -> None:
    """End a run now."""
    state = State.parse(beat.redis.hget(keys.OPEN, run_id))
    outcome = Outcome(run_id, run_id.job_id, state, b'{"run_id":"x"}')
    assert beat.scheduler.ledger.finish(beat.clock.now, [outcome])


def test_a_late_run_is_told_of_once(beat: Beat) -> None:
    run_id = fire(beat)
    beat.clock.now = run_id.scheduled_for + 600
    beat.tick()
    assert not told(beat.redis)
    beat.clock.now += 1
    beat.tick()
    beat.tick()
    (message,) = told(beat.redis)
    assert (message["event"], message["status"]) == ("late", "error")
    assert message["id"] == f"{run_id}/late"
    assert message["chat_id"] == 5
    assert message["error"] == "late: it did not end within 10 min, it waits for a worker"
    assert message["response"].startswith("⏰ Backup is late (")
    assert message["response"].endswith("): it did not end within 10 min, it waits for a worker")
    assert beat.redis.zrange(keys.LATE, 0, -1) == [run_id]
    end(beat, run_id)
    beat.tick()
    assert len(told(beat.redis)) == 1
    assert not beat.redis.exists(keys.EXPECTED)


@pytest.mark.parametrize("seconds", [0, 599, 600])
def test_a_run_that_ends_in_time_is_not_late(beat: Beat, seconds: float) -> None:
    run_id = fire(beat)
    beat.clock.now = run_id.scheduled_for + seconds
    end(beat, run_id)
    beat.clock.now += 1000
    beat.tick()
    assert not told(beat.redis)
    assert not beat.redis.exists(keys.EXPECTED, keys.LATE)


def test_a_run_that_ended_too_late_while_no_beat_led_is_told_of(beat: Beat) -> None:
    run_id = fire(beat)
    beat.clock.now = run_id.scheduled_for + 601
    end(beat, run_id)
    beat.tick()
    (message,) = told(beat.redis)
    assert message["error"].endswith("and has ended since")


def test_two_beats_tell_once(beat: Beat) -> None:
    """The leading one may be frozen between its check and its notification."""
    run_id = fire(beat)
    now = run_id.scheduled_for + 700
    settings = Settings()
    first, second = Alarms(beat.redis, settings), Alarms(beat.redis, settings)
    seen = first.list_expected(now, 10)
    assert seen == [run_id]
    tell_late_runs(second, now, settings)
    assert first.tell_late(now, [(each, True, None) for each in seen]) == 0
    assert len(told(beat.redis)) == 1


def test_a_run_that_fires_too_late_is_late_at_once(beat: Beat) -> None:
    beat.register(JOB)
    due = beat.redis.zscore(keys.SCHEDULE, keys.entry_key("a"))
    beat.clock.now = due + 900
    beat.tick()
    beat.tick()
    assert [each["event"] for each in told(beat.redis)] == ["late"]


def test_only_jobs_that_name_the_event_are_notified(beat: Beat) -> None:
    run_id = fire(beat, notify={"on": ["failure"]})
    beat.clock.now = run_id.scheduled_for + 601
    beat.tick()
    assert not told(beat.redis)
    assert beat.redis.zrange(keys.LATE, 0, -1) == [run_id]  # the digest wants it all the same


def test_a_removed_job_is_not_late(beat: Beat) -> None:
    run_id = fire(beat)
    beat.clock.now = run_id.scheduled_for + 601
    apply(beat.redis, Changes(removed=["a"]), beat.clock.now)
    tell_late_runs(Alarms(beat.redis, Settings()), beat.clock.now, Settings())
    assert not told(beat.redis)
    assert not beat.redis.exists(keys.EXPECTED, keys.LATE)


def test_a_late_run_is_told_of_once_the_lost_entry_of_its_job_is_back(beat: Beat) -> None:
    run_id = fire(beat)
    entry = beat.redis.dump(keys.entry_key("a"))
    beat.redis.delete(keys.entry_key("a"))
    alarms, now = Alarms(beat.redis, Settings()), run_id.scheduled_for + 601
    tell_late_runs(alarms, now, Settings())
    assert not told(beat.redis)
    assert alarms.list_expected(now, 1) == []
    beat.redis.restore(keys.entry_key("a"), 0, entry)
    tell_late_runs(alarms, now + 11, Settings())
    assert [each["id"] for each in told(beat.redis)] == [f"{run_id}/late"]


@pytest.mark.parametrize(
    ("state", "attempts", "present"),
    [
        ("p|1||", 0, "it waits for a worker"),
        ("r|1||w#1", 1, "it still runs"),
        ("r|2||task:7", 2, "its task still runs"),
        ("w|2||", 1, "it waits for attempt 2"),
        ("w|1||", 0, "it waits for its turn"),
        ("q|1||", 0, "it waits for another run of the job"),
        (None, 1, "and has ended since"),
    ],
)
def test_the_text_says_what_the_run_does(state: str | None, attempts: int, present: str) -> None:
    job = validate_row(JOB, timezone="UTC")
    assert isinstance(job, Job)
    known = State.parse(state) if state else None
    message = write_late_message(job, RunId("a", 0.0), known, 700.0, Settings())
    assert message is not None
    body = json.loads(message.payload)
    assert body["error"] == f"late: it did not end within 10 min, {present}"
    assert body["attempt"] == attempts


def test_a_notification_that_is_too_old_is_not_sent() -> None:
    job = validate_row(JOB | {"notify": {"on": ["late"], "stale_after": 650}}, timezone="UTC")
    assert isinstance(job, Job)
    assert write_late_message(job, RunId("a", 0.0), None, 640.0, Settings()) is not None
    assert write_late_message(job, RunId("a", 0.0), None, 700.0, Settings()) is None


@pytest.mark.parametrize("wrong", [0, -1, "10", True, 604_801])
def test_a_wrong_limit_is_rejected(wrong: object) -> None:
    found = validate_row(JOB | {"expect_within": wrong}, timezone="UTC")
    assert "expect_within" in str(getattr(found, "errors", ""))


def test_jobs_show_shows_the_limit_and_masks_the_url(
    cli: CommandLine, synced: Callable[..., None]
) -> None:
    synced(JOB | {"heartbeat_url": "https://ping.example/s3cr3t-token"})
    fields = cli.json("jobs", "show", "a")["fields"]
    assert (fields["expect_within"], fields["heartbeat_url"]) == (600, "https://ping.example/***")
    assert "s3cr3t" not in cli.run("jobs", "show", "a").stdout


@pytest.mark.parametrize("field", [{"expect_within": 60}, {"heartbeat_url": "https://p.example/x"}])
def test_a_job_whose_single_runs_count_is_not_plain(field: dict[str, Any]) -> None:
    job = validate_row({"id": 1, "name": "a", "every": 60} | field, timezone="UTC")
    assert isinstance(job, Job)
    assert not is_plain(json.loads(job.to_document()))
    assert is_plain({"name": "a"})
