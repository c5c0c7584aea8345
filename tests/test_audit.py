"""Lost and doubled ticks do not hide each other, and failures take bounded memory."""

import json
import time
from collections import Counter
from typing import Any

import pytest
from command_line import Quick
from redis import Redis
from test_account import HOURLY, START, Story, _by, hours

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.backfill import plan_backfill
from cron_tasks.audit.day_check import DayCheck, Evidence
from cron_tasks.audit.tally import Tally, audit_job
from cron_tasks.errors import RunUnfit
from cron_tasks.ledger.day_count import DayCount, checksum_of, count_one, invert_checksum
from cron_tasks.ledger.records import Advance, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, Kind, State
from cron_tasks.registry.quarantine import quarantine_entry
from cron_tasks.runs import commands, queries
from cron_tasks.runs.outcomes import write_record as full
from cron_tasks.runs.result import Result
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys
from cron_tasks.store.scripts import load

TODAY = int(START // DAY)
COUNT = f"{keys.COUNT_PREFIX}{TODAY}"
OLD = f"cron_tasks:ok:{TODAY}"


@pytest.fixture
def story(redis: Redis) -> Story:
    story = Story(redis)
    story.sync(START, HOURLY)
    return story


def add(story: Story, *ticks: float, times: int = 1) -> None:
    for tick in ticks:
        story.redis.hincrby(COUNT, "7", times * count_one(tick))


def test_a_tick_that_ran_twice_is_named(story: Story) -> None:
    story.run(20)
    add(story, hours(5))
    assert story.audit(START, hours(20.5)) == Tally(
        expected=20, ok=20, doubled=[RunId("7", hours(5))]
    )
    assert story.audit(hours(5), hours(20.5)).doubled == []


@pytest.mark.parametrize("before", [0.0009, 0.0001, 0.000002])
def test_a_tick_just_after_an_edit_was_asked_for(story: Story, before: float) -> None:
    story.run(4)
    story.sync(hours(5) - before, {"id": 7, "name": "Tick", "cron_expression": "0 * * * *"})
    story.run(4)
    assert story.audit(START, hours(8.5)) == Tally(expected=8, ok=8)


@pytest.mark.parametrize(
    ("lost", "doubled"),
    [((3,), (7,)), ((1, 4), (2, 3)), ((1, 6), (2, 5)), (range(1, 10), range(10, 19))],
)
def test_a_doubled_tick_does_not_hide_a_lost_one(story: Story, lost: Any, doubled: Any) -> None:
    """Not even if the times of both have the same sum."""
    story.run(20)
    story.redis.delete(keys.HISTORY_PREFIX + "7")
    add(story, *map(hours, doubled))
    add(story, *map(hours, lost), times=-1)
    found = story.audit(START, hours(20.5))
    assert found.lost
    assert found.doubled
    if len(lost) == 1:
        assert found.lost == [RunId("7", hours(lost[0]))]
        assert found.doubled == [RunId("7", hours(doubled[0]))]
    else:
        about = "at least 1 of the 20 ticks of 7 on 2027-01-15"
        assert (found.lost, found.doubled) == ([about], [f"{about} ran twice"])


def test_faults_that_the_history_shows_are_named(story: Story) -> None:
    story.run(20)
    history = keys.HISTORY_PREFIX + "7"
    lines = story.redis.lrange(history, 0, -1)
    for nth, other in ((3, 8), (5, 11), (6, 14)):
        story.redis.lset(history, nth, lines[other])
        add(story, hours(20 - nth), times=-1)
        add(story, hours(20 - other))
    days = days_between(START, hours(20.5))
    (account,) = read_accounts(story.redis, ["7"], days)
    found = audit_job(account, START, hours(20.5), hours(20.5))
    assert sorted(found.lost) == sorted(RunId("7", hours(20 - nth)) for nth in (3, 5, 6))
    assert sorted(found.doubled) == sorted(RunId("7", hours(20 - nth)) for nth in (8, 11, 14))
    assert found.ok == 17


@pytest.mark.parametrize(
    ("lost", "doubled", "said"),
    [
        ((190,), (), (["7@1970-01-01T00:03:10Z"], [])),
        ((), (50,), ([], ["7@1970-01-01T00:00:50Z"])),
        ((190,), (50,), (["7@1970-01-01T00:03:10Z"], ["7@1970-01-01T00:00:50Z"])),
        ((170, 180, 190), (), (["3 of the 200 ticks of 7 on 1970-01-01"], [])),
    ],
)
def test_a_part_of_the_history_that_is_gone_was_not_lost(
    lost: Any, doubled: Any, said: Any
) -> None:
    """A minute of a quick job can be deleted. Its runs still count."""
    ticks = [float(second) for second in range(1, 201)]
    counted = [*(tick for tick in ticks if tick not in lost), *doubled]
    known = [tick for tick in counted if not 120 <= tick < 150]
    evidence = Evidence(Counter(set(known)), frozenset(known), 1.0)
    checksums = sum(map(checksum_of, counted))
    check = DayCheck("7", 0, ticks, {}, len(counted), checksums)
    found = check.find_faults(evidence)
    names = [[each.name for each in found if each.kind == kind] for kind in ("lost", "doubled")]
    assert tuple(names) == said


def test_several_doubled_ticks_are_counted(story: Story) -> None:
    story.run(10)
    add(story, hours(3), hours(5), hours(5))
    found = story.audit(START, hours(10.5))
    assert found.doubled == ["3 of the 10 ticks of 7 on 2027-01-15 ran twice"]
    assert (found.ok, found.lost) == (10, [])


def test_a_tick_that_ran_and_also_failed_ran_twice(story: Story) -> None:
    story.run(2)
    story.end(story.fire(), Result("failed", error="broken"))
    story.fire(missed=(hours(4), hours(5)))
    add(story, hours(3))
    found = story.audit(START, hours(5.5))
    assert (found.failed, found.doubled) == (1, [RunId("7", hours(3))])


def test_a_tick_that_failed_twice_ran_twice(story: Story) -> None:
    story.run(2)
    tick = story.fire()
    for _ in range(2):
        story.redis.hset(keys.OPEN, RunId("7", tick), "p|1||")
        story.end(tick, Result("failed", error="broken"))
    found = story.audit(START, hours(3.5))
    assert (found.failed, found.doubled) == (1, [RunId("7", tick)])
    story.ledger.open([RunId("7", tick)], tick, again=True)
    story.end(tick, Result("failed", error="broken again"))
    assert story.audit(START, hours(3.5)).failed == 1


def test_a_rerun_of_a_failed_tick_counts_once(story: Story) -> None:
    story.run(2)
    tick = story.fire()
    for again in (False, True, True):
        if again:
            story.ledger.open([RunId("7", tick)], tick, again=True)
        story.end(tick, Result("failed", error="broken"))
    assert story.audit(START, hours(3.5)) == Tally(expected=3, ok=2, failed=1)


def test_a_run_that_no_schedule_asked_for_is_named(story: Story) -> None:
    story.run(3)
    add(story, hours(2.5))
    assert story.audit(START, hours(3.5)) == Tally(
        expected=3, ok=3, unasked=[RunId("7", hours(2.5))]
    )


def test_the_audit_fails_when_a_tick_ran_twice(story: Story, quick: Quick) -> None:
    now = float(int(time.time()))
    story.sync(now - 2 * DAY)
    story.sync(now - 2 * DAY, HOURLY | {"id": "8"})
    tick = (now // 3600 - 1) * 3600
    key = keys.entry_key("8")
    since = story.redis.zscore(keys.SCHEDULE, key)
    while since <= now:
        story.end(story.fire(job="8"), Result("ok"), "8")
        since = story.redis.zscore(keys.SCHEDULE, key)
    assert quick.json("audit")["doubled"] == []
    story.redis.hincrby(f"{keys.COUNT_PREFIX}{int(tick // DAY)}", "8", count_one(tick))
    assert quick.json("audit", code=1)["doubled"] == [RunId("8", tick)]
    assert f"doubled: {RunId('8', tick)}" in quick.run("audit", code=1).stdout


class TestUpgrade:
    """Counts of the previous version: number times 10^13 plus the sum of milliseconds."""

    def count(self, story: Story, *ticks: float) -> None:
        for tick in ticks:
            story.redis.hincrby(OLD, "7", DayCount(1, round(tick % DAY * 1000)).packed)
            story.redis.hincrby(COUNT, "7", -count_one(tick))
        if story.redis.hget(COUNT, "7") == "0":
            story.redis.hdel(COUNT, "7")
        story.redis.expire(OLD, DAY)

    def test_a_day_of_the_version_before_is_read(self, story: Story) -> None:
        story.run(10)
        self.count(story, *(hours(n) for n in range(1, 11)))
        assert story.audit(START, hours(10.5)) == Tally(expected=10, ok=10)
        story.redis.hincrby(OLD, "7", -DayCount(1, round(hours(3) % DAY * 1000)).packed)
        assert len(story.audit(START, hours(10.5)).lost) == 1

    @pytest.mark.parametrize("before", [range(1, 5), (1, 2, 4, 6)])
    def test_the_day_of_the_upgrade_raises_no_alarm(self, story: Story, before: Any) -> None:
        story.run(10)
        self.count(story, *map(hours, before))
        assert story.audit(START, hours(10.5)) == Tally(expected=10, ok=10)
        add(story, hours(9))
        found = story.audit(START, hours(10.5))
        assert found.doubled == ["1 of the 10 ticks of 7 on 2027-01-15 ran twice"]


def test_lua_and_python_compute_the_same_checksum(redis: Redis) -> None:
    text = load("store/checksum")[0] + "\nreturn string.format('%.0f', checksum(ARGV[1]))"
    for tick in (START, START + 0.001, START + 3600, START + DAY - 0.001, START + 43_199.999):
        value = checksum_of(tick)
        assert redis.eval(text, 0, repr(tick)) == str(value)
        assert invert_checksum(value) == int(tick % DAY * 1000 + 0.5)


TRACE = '[{"attempt":1,"started_at":1.5,"finished_at":2.5,"worker":"w","error":"broken"}]'


class Minutely(Story):
    """A job that is due every minute. The ledger writes its records."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.sync(START, HOURLY | {"every": 60})

    def ends(self, number: int, result: Result, by_hand: bool = False) -> None:
        tick = START + 60 * number
        name = RunId("7", tick)
        line = full(name, result, _by(tick + 41), trace=TRACE)
        state = State(Kind.PENDING, flags=[Flag.BY_HAND] if by_hand else ())
        self.redis.hset(keys.OPEN, name, state)
        done = Outcome(name, "7", state, line, (), result.status)
        assert self.ledger.finish(tick + 41, [done]) == [name]

    def settle(self, until: float) -> None:
        self.redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): until})


OUTPUT = "x" * 4000


@pytest.fixture
def failing(redis: Redis) -> Minutely:
    """Run 2,000 minutes: 8 ok, 1 skipped and 1 failed of each ten, then only failures."""
    story = Minutely(redis)
    for number in range(1, 2001):
        result = Result("failed", error="e" * 500, output=OUTPUT)
        if number <= 1000 and number % 10 == 5:
            result = Result("skipped", "overlap", other="7@2027-01-15T00:00:00Z")
        elif number <= 1000 and number % 10:
            result = Result("ok")
        story.ends(number, result)
    story.settle(START + 2001 * 60)
    return story


def test_failures_in_any_number_take_little_and_stay_accounted_for(failing: Minutely) -> None:
    redis, account = failing.redis, keys.ACCOUNT_PREFIX + "7"
    assert redis.zcard(account) <= 1000
    assert max(len(line) for line in redis.zrange(account, 0, -1)) < 400
    kept = redis.memory_usage(account, samples=0) + redis.memory_usage("cron_tasks:folded:7")
    assert kept < 600_000
    assert 0 < redis.ttl("cron_tasks:folded:7") <= failing.ledger.audited
    now = START + 2000.5 * 60
    assert failing.audit(START, now) == Tally(
        expected=2000, ok=800, failed=1100, skipped={"overlap": 100}
    )
    newest = json.loads(redis.lindex(keys.HISTORY_PREFIX + "7", 0))
    assert newest["output"] == OUTPUT
    run = queries.find_end(redis, RunId("7", START + 1500 * 60))
    assert run is not None
    assert (run["status"], run["error"]) == ("failed", "e" * 120)
    assert run["scheduled_for"] == "2027-01-16T01:00:00Z"
    assert len(list(queries.list_ended(redis, "7", "failed"))) > 800


def test_a_window_that_cuts_an_hour_of_counts_begins_after_it(failing: Minutely) -> None:
    found = failing.audit(hours(2.5), START + 2000.5 * 60)
    assert found.known_from == {"7": "2027-01-15T03:00:00Z"}
    assert found.expected == 2000 - 179
    assert found.ok == 656
    assert (found.lost, found.doubled, found.unasked) == ([], [], [])


def test_a_loss_among_counts_is_seen(failing: Minutely) -> None:
    fields = failing.redis.hgetall("cron_tasks:folded:7")
    tick = START + 60 * 10
    failing.redis.hincrby("cron_tasks:folded:7", f"{int(tick // 3600)}:failed:", -count_one(tick))
    assert len(fields) < 60
    assert failing.audit(START, START + 2000.5 * 60).lost == [RunId("7", tick)]


def test_ticks_without_a_record_are_reported_as_counts(failing: Minutely) -> None:
    redis, now = failing.redis, START + 2000.5 * 60
    assert "its record is gone; besides ticks that ran ok, its hour has: 5 failed, 6 skipped" in (
        failing.why(START + 20 * 60, now)
    )
    gone = RunId("7", START + 10 * 60)
    run = queries.find_end(redis, gone)
    assert run is not None
    assert run["status"] == "failed"
    assert gone in [each["run_id"] for each in queries.list_ended(redis, None, "failed")]
    with pytest.raises(RunUnfit, match="only counts are kept of runs that old"):
        commands.reopen(redis, failing.ledger, gone, now)
    job = failing.registry.get_job("7")
    assert plan_backfill(redis, job, START + 60, START + 1800, now).unsure == 30
    assert read_open_ticks(redis) == {}


def test_manual_runs_are_not_taken_for_ticks(redis: Redis) -> None:
    story = Minutely(redis)
    for number in range(1, 1301):
        story.ends(number, Result("failed", error="broken"))
        if number < 100:
            story.ends(number + 0.5, Result("ok" if number % 2 else "failed"), by_hand=True)
    story.settle(START + 1301 * 60)
    assert story.audit(START, START + 1300.5 * 60) == Tally(expected=1300, failed=1300)


def test_dropped_stretches_are_reported(redis: Redis) -> None:
    story = Minutely(redis)
    for number in range(1, 1200):
        first = START + 60 * (2 * number - 1)
        line = full(RunId("7", first), Result("missed", "coalesced"), _by(first + 60), first + 60)
        redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): first})
        key = keys.entry_key("7")
        step = Advance(key, repr(first), first + 120, "{}", [], "7", line)
        story.ledger.advance("me", first + 60, [step], int(redis.get(keys.EDITS) or 0))
    assert redis.zcard(keys.ACCOUNT_PREFIX + "7") <= 1000
    now = START + 60 * 2398.5
    found = story.audit(START, now)
    known = found.known_from["7"]
    assert known > "2027-01-15T02"
    assert not found.has_faults
    assert found.missed == {"coalesced": found.expected}


def test_versions_are_bounded_in_bytes_and_dropped_ones_are_reported(story: Story) -> None:
    story.run(1)
    edits = 1500
    for number in range(edits):
        wait = "x" * (number % 3)
        story.sync(hours(1.5) + number, HOURLY | {"every": 3600 + number % 2, "name": f"n{wait}"})
    size = sum(map(len, story.redis.lrange(keys.VERSIONS_PREFIX + "7", 0, -1)))
    assert size < 150_000
    now = hours(1.5) + edits + 0.5
    found = story.audit(START, now)
    assert not found.has_faults
    assert found.known_from["7"] > "2027-01-15T01:30"
    assert story.audit(now - 10, now).known_from == {}
    big = {"exclude": [f"20{n:02}-01-{d:02}" for n in range(30, 60) for d in range(1, 29)]}
    for number in range(60):
        story.sync(now + number, HOURLY | big | {"every": 3600 + number % 2})
    size = sum(map(len, story.redis.lrange(keys.VERSIONS_PREFIX + "7", 0, -1)))
    assert size < 150_000


@pytest.mark.parametrize("finder", ["comparison", "beat"])
def test_ticks_from_before_an_entry_was_deleted_are_not_judged(story: Story, finder: str) -> None:
    story.run(3)
    deleted = hours(3.5)
    story.redis.delete(keys.entry_key("7"))
    if finder == "beat":
        quarantine_entry(story.redis, keys.entry_key("7"), "broken", 10**6)
    else:
        story.redis.zrem(keys.SCHEDULE, keys.entry_key("7"))
        story.redis.hset(keys.JOBS, "7", "")  # The comparison asks for the job again.
    story.sync(deleted, HOURLY)
    story.run(2)
    now = hours(5.5)
    found = story.audit(START, now)
    assert not found.has_faults
    assert (found.expected, found.ok) == (2, 2)
    assert found.known_from["7"] >= iso_utc(deleted)
    assert story.audit(deleted, now).known_from == {}


def test_a_job_that_is_new_or_comes_back_is_judged_from_its_beginning(story: Story) -> None:
    story.run(2)
    story.sync(hours(2.5))
    story.sync(hours(4.5), HOURLY, HOURLY | {"id": 8})
    story.run(1)
    found = story.audit(START, hours(5.5))
    assert not found.has_faults
    assert (found.expected, found.known_from) == (3, {})
