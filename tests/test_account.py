"""`audit` and `why` account for every tick, through edits and pauses."""

from typing import Any

import pytest
from applying import apply
from redis import Redis

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import explain_tick
from cron_tasks.audit.tally import Tally, audit_job
from cron_tasks.beat.due import judge_page, read_page
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.day_count import count_one
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Advance, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry import skips
from cron_tasks.registry.plan import Policy, plan_changes
from cron_tasks.registry.registry import Registry
from cron_tasks.runs.outcomes import write_record
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store import keys

START = 1_800_000_000.0 // DAY * DAY
HOURLY = {"id": "7", "name": "Water the plants", "every": 3600}


class Story:
    """A registry and a ledger in which things happen at given times, without any process."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.registry = Registry(redis)
        self.ledger = Ledger(redis, Settings())
        redis.set(keys.LEADER_LOCK, "me", ex=600)

    def sync(self, now: float, *rows: dict[str, Any]) -> None:
        listed = [(f"row {n}", row) for n, row in enumerate(rows)]
        changes = plan_changes(self.registry.read_index(), listed, Policy(force=True))
        apply(self.redis, changes, now)

    def fire(self, *, job: str = "7", missed: tuple[float, float] | None = None) -> float:
        """Advance the next tick of the job like beat, and return its time."""
        key = keys.entry_key(job)
        due = self.redis.zscore(keys.SCHEDULE, key)
        assert due is not None
        step = Advance(key, repr(due), due + 3600, "{}", [RunId(job, due)], job)
        if missed:
            first, last = missed
            line = write_record(RunId(job, first), Result("missed", "coalesced"), _by(last), last)
            step = Advance(key, repr(due), last + 3600, "{}", [], job, line)
        self.ledger.advance("me", due, [step], int(self.redis.get(keys.EDITS) or 0))
        return due

    def pass_on(self, now: float) -> None:
        """Fire and skip due ticks like beat."""
        batch = judge_page(read_page(self.redis, now), now, Settings())
        self.ledger.advance("me", now, batch.advances, batch.edits)

    def end(self, tick: float, result: Result, job: str = "7", *, now: float | None = None) -> None:
        """Run a tick for 41 s, at once or from `now` on."""
        name, end = RunId(job, tick), (now or tick) + 41
        (claim,) = self.ledger.claim("w", end - 41, [name])
        line = write_record(name, result, _by(end))
        self.ledger.finish(end, [Outcome(name, job, claim.state, line, (), result.status)])

    def run(self, times: int, job: str = "7") -> None:
        for _ in range(times):
            self.end(self.fire(job=job), Result("ok"), job)

    def audit(self, since: float, now: float, job: str = "7") -> Tally:
        (account,) = read_accounts(
            self.redis, [job], days_between(since, now), read_open_ticks(self.redis)
        )
        return audit_job(account, since, now, now)

    def why(self, at: float, now: float) -> str:
        (account,) = read_accounts(
            self.redis, ["7"], days_between(at, at), read_open_ticks(self.redis)
        )
        return explain_tick(account, {}, at, now, "UTC").sentence


def _by(now: float) -> Attempt:
    return Attempt(1, now - 41, now, "w")


@pytest.fixture
def story(redis: Redis) -> Story:
    story = Story(redis)
    story.sync(START, HOURLY)
    return story


def hours(count: float) -> float:
    return START + count * 3600


def test_every_tick_ok(story: Story) -> None:
    story.run(30)
    assert story.audit(START, hours(30.5)) == Tally(expected=30, ok=30)
    assert story.audit(hours(6.5), hours(30.5)) == Tally(expected=24, ok=24)


def test_each_end_is_counted_with_its_reason(story: Story) -> None:
    story.run(2)
    story.end(story.fire(), Result("failed", error="broken"))
    story.end(story.fire(), Result("skipped", "overlap", other=RunId("7", hours(3))))
    story.fire(missed=(hours(5), hours(8)))
    story.run(1)
    opened = story.fire()
    assert opened == hours(10)
    assert story.audit(START, hours(11.5)) == Tally(
        expected=11, ok=3, failed=1, skipped={"overlap": 1}, missed={"coalesced": 4}, open=2
    )


def test_one_lost_tick_of_a_day_is_named(story: Story) -> None:
    story.run(40)
    lost = hours(31)
    story.redis.hincrby(f"{keys.COUNT_PREFIX}{int(lost // DAY)}", "7", -count_one(lost))
    found = story.audit(START, hours(40.5))
    assert (found.ok, found.lost) == (39, [RunId("7", lost)])
    assert story.audit(hours(31), hours(40.5)).lost == []


def test_several_lost_ticks_of_a_day_are_counted(story: Story) -> None:
    story.run(10)
    for lost in (hours(3), hours(5)):
        story.redis.hincrby(f"{keys.COUNT_PREFIX}{int(lost // DAY)}", "7", -count_one(lost))
    found = story.audit(START, hours(10.5))
    assert (found.ok, found.lost) == (8, ["2 of the 10 ticks of 7 on 2027-01-15"])


def test_an_emptied_count_loses_every_tick_by_name(story: Story) -> None:
    story.run(3)
    story.redis.delete(f"{keys.COUNT_PREFIX}{int(START // DAY)}")
    assert story.audit(START, hours(3.5)).lost == [RunId("7", hours(n)) for n in (1, 2, 3)]


def test_a_rerun_counts_with_its_last_status(story: Story) -> None:
    tick = story.fire()
    story.end(tick, Result("failed", error="broken"))
    assert story.redis.zrange(keys.FAILED, 0, -1) == [RunId("7", tick)]
    story.ledger.open([RunId("7", tick)], tick, again=True)
    story.end(tick, Result("ok"))
    assert not story.redis.exists(keys.FAILED)
    assert story.audit(START, hours(1.5)) == Tally(expected=1, ok=1)


def test_what_is_expected_follows_every_edit(story: Story) -> None:
    story.run(3)
    story.sync(hours(3.5), HOURLY | {"every": 7200})
    assert story.redis.zscore(keys.SCHEDULE, keys.entry_key("7")) == hours(4)
    story.end(story.fire(), Result("ok"))
    story.sync(hours(4.5), HOURLY | {"enabled": False})
    story.sync(hours(9.5), HOURLY)
    story.run(1)
    assert story.audit(START, hours(10.5)) == Tally(expected=5, ok=5)
    assert "it was disabled" in story.why(hours(6), hours(11))


@pytest.mark.parametrize("change", ["edited", "removed", "paused"])
def test_a_change_accounts_for_the_ticks_it_overtakes(story: Story, change: str) -> None:
    story.run(1)
    now = hours(3.5)  # beat was away: the ticks of 2 and 3 are due
    if change == "paused":
        story.registry.pause("7", "maintenance", now)
    else:
        story.sync(now, *([HOURLY | {"every": 60}] if change == "edited" else []))
    assert story.audit(START, now) == Tally(expected=3, ok=1, missed={change: 2})
    assert change in ("edited", "removed", "paused")


def test_a_pause_survives_a_sync_and_ends_without_catching_up(story: Story) -> None:
    story.run(1)
    story.registry.pause("7", "maintenance", hours(1.5))
    story.sync(hours(2.5), HOURLY | {"name": "Water all plants", "every": 1800})
    assert story.redis.zscore(keys.SCHEDULE, keys.entry_key("7")) is None
    (job,) = story.registry.read_jobs(["7"])
    assert job.paused is not None
    assert job.paused.reason == "maintenance"
    assert "it was paused: maintenance" in story.why(hours(2), hours(3))
    assert "it is paused: maintenance" in story.why(hours(4), hours(3))
    assert story.registry.resume("7", hours(5.25))
    assert not story.registry.resume("7", hours(5.25))
    assert story.redis.zscore(keys.SCHEDULE, keys.entry_key("7")) == hours(5.5)
    assert story.audit(START, hours(5.4)) == Tally(expected=1, ok=1)


def test_skipping_the_next_tick(story: Story) -> None:
    story.run(1)
    assert not skips.add_skip(story.redis, "7", hours(1), hours(1.5))
    assert skips.add_skip(story.redis, "7", hours(2), hours(1.5))
    assert not skips.add_skip(story.redis, "7", hours(2), hours(1.5))
    (job,) = story.registry.read_jobs(["7"])
    assert (job.due, job.next) == (hours(2), hours(3))
    asked = "skipped: somebody asked for that (`jobs skip-next`)"
    story.pass_on(hours(2))
    story.run(1)
    assert "was due at 2027-01-15T02:00:00+00:00 and was " + asked in story.why(hours(2), hours(4))
    assert story.audit(START, hours(3.5)) == Tally(expected=3, ok=2, skipped={"by_hand": 1})


def test_ticks_of_an_entry_in_quarantine_are_missed(story: Story) -> None:
    from cron_tasks.registry.quarantine import quarantine_entry

    story.run(1)
    quarantine_entry(story.redis, keys.entry_key("7"), "broken", story.ledger.audited)
    assert story.audit(START, hours(3.5)) == Tally(expected=3, ok=1, missed={"set_aside": 2})
    story.sync(hours(3.5), HOURLY)
    story.run(1)
    assert story.audit(START, hours(4.5)) == Tally(expected=4, ok=2, missed={"set_aside": 2})
    assert validate_row(HOURLY, timezone="UTC")


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        (1, "7 was due at 2027-01-15T01:00:00+00:00 and ran ok; details are kept only for"),
        (2, "was due at 2027-01-15T02:00:00+00:00 and failed: broken; it started at"),
        (3, "was skipped: the run of 2027-01-15T02:00:00+00:00 was still running; it ended at "
            "2027-01-15T02:00:41+00:00 failed"),
        (4, "was missed: several ticks had been missed"),
        (5, "was missed: several ticks had been missed"),
        (6, "waits for a worker"),
        (7, "has not fired yet: no beat"),
        (1.5, "has no tick at 2027-01-15T01:30:00+00:00: the previous one is "
              "2027-01-15T01:00:00+00:00 (ok), the next one is 2027-01-15T02:00:00+00:00"),
        (9, "is due at 2027-01-15T09:00:00+00:00, in 1 h 30 min"),
        (-1, "the job is known only since 2027-01-15T00:00:00+00:00"),
    ],
)  # fmt: skip
def test_why(story: Story, at: float, sentence: str) -> None:
    story.run(1)
    story.end(story.fire(), Result("failed", error="broken"))
    story.end(story.fire(), Result("skipped", "overlap", other=RunId("7", hours(2))))
    story.fire(missed=(hours(4), hours(5)))
    story.fire()
    assert sentence in story.why(hours(at), hours(7.5))


def test_why_a_run_was_in_the_way(story: Story) -> None:
    first, second, third = (story.fire() for _ in range(3))
    story.end(second, Result("skipped", "replaced", other=RunId("7", third)))
    story.end(third, Result("skipped", "overlap", other=RunId("7", first)))
    taken = "skipped: the run of 2027-01-15T03:00:00+00:00 took its place after 41 s"
    assert story.why(second, hours(9)).endswith(taken)
    going = "skipped: the run of 2027-01-15T01:00:00+00:00 was still running"
    assert story.why(third, hours(9)).endswith(going)
    story.redis.hset(keys.OPEN, RunId("7", first), "q|1|q|")
    assert story.why(third, hours(9)).endswith("01:00:00+00:00 waited for its turn")
    story.redis.hset(keys.OPEN, RunId("7", first), "p|1||")
    story.end(first, Result("failed", error="HTTP 500"), now=hours(5))
    ended = "had not ended; it ended at 2027-01-15T05:00:41+00:00 failed"
    assert story.why(third, hours(9)).endswith(ended)


def test_why_of_a_removed_job(story: Story) -> None:
    story.run(1)
    story.sync(hours(1.5))
    assert "the job no longer exists" in story.why(hours(5), hours(6))
    assert "ran ok" in story.why(hours(1), hours(6))
