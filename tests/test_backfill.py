"""`cron-tasks backfill` runs the ticks that were due by the schedules in force at the time."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from command_line import CommandLine, Quick
from helpers import PATIENCE, wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer, reply
from test_account import HOURLY, START, Story, hours

from cron_tasks.audit import backfill
from cron_tasks.audit.backfill import Backfill, plan_backfill
from cron_tasks.errors import RunUnfit
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.result import Result
from cron_tasks.schedules.human import format_local
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys

NOW = START + 40 * 3600


@pytest.fixture
def story(redis: Redis) -> Story:
    story = Story(redis)
    story.sync(START, HOURLY)
    return story


def judged(story: Story, first: float, last: float, now: float = NOW) -> Backfill:
    return plan_backfill(story.redis, story.registry.get_job("7"), hours(first), hours(last), now)


def missing(found: Backfill) -> list[float]:
    """Return the hours of the ticks that the backfill would run."""
    return [(run_id.scheduled_for - START) / 3600 for run_id in found.missing]


def test_only_ticks_of_the_schedule_in_force_are_offered(story: Story) -> None:
    """The schedule is hourly until 3.5, every two hours until 8.5, then each quarter of an hour."""
    for _ in range(3):
        story.end(story.fire(), Result("failed", error="broken"))
    story.sync(hours(3.5), HOURLY | {"every": 7200})
    for _ in range(2):
        tick = story.fire()
        story.end(tick, Result("failed", error="broken"))
        story.redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): tick + 7200})
    story.sync(hours(8.5), HOURLY | {"every": 900})
    found = judged(story, 0, 8.75)
    assert missing(found) == [1, 2, 3, 4, 6, 8]
    assert (found.resting, found.unknown) == (0, 1)  # the tick of 0:00, as the job was added then
    assert found.missing[RunId("7", hours(1))] == "failed"
    assert found.missing[RunId("7", hours(8))] == "missed"
    assert (found.ticks, found.open) == (7, 1)


@pytest.mark.parametrize("rest", ["paused", "disabled", "removed"])
def test_nothing_was_due_while_the_job_was_away(story: Story, rest: str) -> None:
    story.end(story.fire(), Result("failed", error="broken"))
    if rest == "paused":
        story.registry.pause("7", "stocktaking", hours(1.5))
        assert story.registry.resume("7", hours(5.5))
    else:
        story.sync(hours(1.5), *([HOURLY | {"enabled": False}] if rest == "disabled" else []))
        story.sync(hours(5.5), HOURLY)
    story.end(story.fire(), Result("failed", error="broken"))
    found = judged(story, 0.5, 6.5)
    assert missing(found) == [1, 6]
    assert (found.resting, found.unknown) == (0 if rest == "removed" else 4, 0)


def test_nothing_is_known_of_the_time_before_the_versions(story: Story) -> None:
    story.end(story.fire(), Result("ok"))
    found = judged(story, -30, 1)
    assert (found.ticks, found.ok, found.missing) == (1, 1, {})
    assert (found.unknown, found.known_since) == (31, START)


def test_a_paused_job_can_be_backfilled(story: Story) -> None:
    story.end(story.fire(), Result("failed", error="broken"))
    story.registry.pause("7", "stocktaking", hours(1.5))
    found = judged(story, 0.5, 3.5)
    assert (missing(found), found.resting) == ([1], 2)


def test_ticks_have_the_jitter_in_force_at_the_time(story: Story) -> None:
    for _ in range(2):
        story.end(story.fire(), Result("failed", error="broken"))
    story.sync(hours(2.5), HOURLY | {"jitter": 3599})
    offset = story.registry.get_job("7").schedule.to_spec()["j"] / 3600
    assert offset > 0
    assert missing(judged(story, 0.5, 2.9, hours(2.9))) == [1, 2]


def test_a_backfill_has_a_limit(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "MOST", 20)
    assert judged(story, 0.5, 20).ticks == 20
    with pytest.raises(RunUnfit, match=r"more than 20 ticks\. Use --to 2027-01-15T20:00:00Z or"):
        judged(story, 0.5, 21)
    story.sync(hours(21.5), HOURLY | {"every": 86_400})
    with pytest.raises(RunUnfit, match="more than 20 ticks"):
        judged(story, 0.5, 39)


def test_a_dry_run_counts_what_was_not_due(
    quick: Quick, redis: Redis, synced: Callable[..., None]
) -> None:
    hour = time.time() // 3600 * 3600
    row: dict[str, Any] = {"id": 7, "name": "Water", "cron_expression": "0 * * * *"}
    synced(row)
    story = Story(redis)
    long_ago = {"since": repr(hour - 6.5 * 3600), "meta": "{}"}
    redis.hset(keys.entry_key("7"), mapping=long_ago)
    story.registry.pause("7", "stocktaking", hour - 4.5 * 3600)
    assert story.registry.resume("7", hour - 1.5 * 3600)
    # A further hour may begin between two commands.
    period = ["--from", iso_utc(hour - 8.5 * 3600), "--to", "0s"]
    done = quick.run("backfill", "7", *period, "--dry-run")
    assert ": 3 while the job was paused or disabled, " in done.stdout
    known = format_local(int(hour - 6.5 * 3600))
    assert f" before {known}\n" in done.stdout
    assert done.stderr.startswith(f"Warning: ticks before {known} are not known. ")
    assert "CRON_TASKS_AUDIT_DAYS" in done.stderr
    facts = quick.json("backfill", "7", *period, "--dry-run")
    assert facts["not_due"]["paused_or_disabled"] == 3
    assert facts["not_due"]["before_known"] == 2
    assert quick.lines("backfill", "7", "--from", "9h", "--to", "8h", "--dry-run")[-1] == (
        "No tick was due in this period"
    )


def test_two_backfills_at_once_run_each_tick_once(
    redis: Redis, rest: RestServer, celery: Celery, cli: CommandLine
) -> None:
    """The log of the service shows it."""
    with RestServer() as target:
        target.answer = reply(200)
        action = {"type": "http", "method": "POST", "url": target.url + "/do"}
        # The last tick was half an hour ago, so that none comes meanwhile.
        start = iso_utc(int(time.time()) - 25.5 * 3600)
        row = {"id": 7, "name": "Report", "every": 3600, "start_at": start}
        rest.jobs = [row | {"action": action}]
        celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
        celery.worker(2)
        celery.beat()
        wait_until(lambda: redis.hexists(keys.JOBS, "7"), "the first sync")
        redis.hset(keys.entry_key("7"), "since", repr(time.time() - 6 * 3600))
        arguments = ["backfill", "7", "--from", "5h", "--to", "1s"]
        commands = [cli.start(*arguments) for _ in range(2)]
        for command in commands:
            out, err = command.communicate(timeout=PATIENCE)
            assert command.returncode == 0, out + err
        sent = [headers["idempotency-key"] for _, _, headers in target.requests]
    assert len(sent) == 5
    assert len(set(sent)) == 5
