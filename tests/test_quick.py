"""Jobs that fire more than once a minute: their ordinary runs are one record a minute.

The real beat and the real worker run in this process, on a clock that the test moves.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from applying import apply
from command_line import Quick
from driven import Beat
from test_batches import World, row

from cron_tasks import schedules
from cron_tasks.audit.asking import explain_at
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.history import split_runs
from cron_tasks.ledger.minutes import (
    close_minute,
    count_minute,
    make_brief,
    split_minute,
    write_rest,
)
from cron_tasks.ledger.records import Advance, Claim, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.registry.plan import Changes
from cron_tasks.repair.comparison import Comparison
from cron_tasks.runs import commands, queries
from cron_tasks.runs.outcomes import conclude
from cron_tasks.runs.outgrown import find_outgrown
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.runs.shapes import Shape
from cron_tasks.runs.tail import Tail
from cron_tasks.runs.wording import describe_minute
from cron_tasks.store import keys

ALONE, MANY = 1, 20
#: So many jobs that share a minute keep it open for longer (keep_minute.lua).
OVERTIME = 500
CALL = {"type": "http", "url": "http://example.org/"}


@pytest.mark.parametrize(
    ("fields", "quick"),
    [
        ({"every": 1}, True),
        ({"every": 59.5}, True),
        ({"every": 60}, False),
        ({"every": 45, "jitter": 10}, True),
        ({"cron_expression": "* * * * * *"}, True),
        ({"cron_expression": "0,30 * * * * *"}, True),
        ({"cron_expression": "*/15 0 9 * * *"}, True),
        ({"cron_expression": "30 * * * * *"}, False),
        ({"cron_expression": "* * * * *"}, False),
        ({"cron_expression": "@every 30s"}, True),
        ({"cron_expression": "@hourly"}, False),
        ({"run_at": "2030-01-01T09:00:00Z"}, False),
        ({"rrule": "DTSTART:20260101T000000Z\nRRULE:FREQ=SECONDLY"}, True),
        ({"rrule": "DTSTART:20260101T000000Z\nRRULE:FREQ=SECONDLY;INTERVAL=60"}, False),
        ({"rrule": "DTSTART:20260101T000000Z\nRRULE:FREQ=MINUTELY;BYSECOND=0,30"}, True),
        ({"rrule": "DTSTART:20260101T000000Z\nRRULE:FREQ=SECONDLY;BYSECOND=0"}, False),
        ({"rrule": "DTSTART:20260101T000000Z\nrrule:freq=secondly;interval=20"}, True),
        ({"rrule": "DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY"}, False),
    ],
)
def test_which_jobs_are_quick(fields: dict[str, Any], quick: bool) -> None:
    schedule = schedules.parse(**fields)
    assert schedule.is_quick is quick
    assert schedules.from_spec(schedule.to_spec()).is_quick is quick


def test_the_text_of_a_run_can_be_read_back() -> None:
    due = "1970-01-01T00:01:00.500Z"
    record = {"run_id": "", "scheduled_for": due, "status": "ok", "reason": None, "worker": "w"}
    for lag, took in [(0.004, 0.012), (-0.3, 0.0), (3600.25, 59.999)]:
        started = 60.5 + lag
        brief = make_brief(60.5, started, started + took, write_rest(record))
        stored = brief.write().decode().replace(f" {brief.run}", "", 1)
        line = close_minute('7"', stored)
        assert line
        (run,) = split_minute(line)
        assert run["run_id"] == f'7"@{due}'
        assert run["started_at"] == pytest.approx(started, abs=0.001)
        assert run["finished_at"] == pytest.approx(started + took, abs=0.002)
        assert run["worker"] == "w"


class Quickly(World):
    """A world in which a test sets the duration and the end of each run."""

    def __init__(self, beat: Beat) -> None:
        super().__init__(beat)
        self.clock.now = self.due
        self.begun = self.due
        # Runs that wait until a test claims them are not overdue.
        beat.scheduler._clock_watch._trusted_after = math.inf

    def run_alone(self, seconds: int) -> None:
        """Fire the runs of each second. Each run takes 10 ms."""
        for _ in range(seconds):
            self.clock.now += 1
            self.beat.tick()
            self.clock.now += 0.01
            self.work()
            for run_id in sorted(self.redis.hkeys(keys.OPEN)):
                self.workers[0]._runner.run([RunId.stored(run_id)])
            self.clock.now -= 0.01

    def claim(self, second: float, job_id: str = "7", worker: str = "w") -> list[Claim]:
        tick = RunId(job_id, self.begun + second)
        return self.ledger.claim(f"{worker}#{second}", tick.scheduled_for, [tick])

    def end(self, claim: Claim, result: Result, took: float, lag: float = 0.005) -> Outcome:
        """End an attempt of a claimed run that began `lag` after its fire time."""
        at = claim.run_id.scheduled_for + lag
        run = Run(Job.from_document(claim.document), claim.run_id, at - lag, claim.attempt)
        begun = None if result.status == "skipped" else at
        by = Attempt(claim.attempt - (begun is None), begun, at + took, "w")
        outcome = conclude(run, claim, result, by, self.settings, 0.0)
        self.ledger.finish(at + took, [outcome])
        return outcome

    def fire_until(self, second: int) -> None:
        """Open the runs of all seconds up to this one that are not open yet.

        The sweeper of a beat would end runs that no worker takes for long.
        """
        first = round(self.clock.now - self.begun) + 1
        if first <= second:
            self.open_all(range(first, second + 1))

    def open_all(self, seconds: Sequence[int]) -> None:
        """Open the runs of these seconds in one step, like a beat that was busy for long."""
        self.redis.set(keys.LEADER_LOCK, "me", ex=60)
        key = keys.entry_key("7")
        score = self.redis.zscore(keys.SCHEDULE, key)
        run_ids = [RunId("7", self.begun + second) for second in seconds]
        after = run_ids[-1].scheduled_for + 1
        step = Advance(key, repr(score), after, "{}", run_ids, "7")
        edits = int(self.redis.get(keys.EDITS) or 0)
        assert self.ledger.advance("me", after, [step], edits) == run_ids
        self.clock.now = after - 1

    def ended(self, job_id: str | None = "7", status: str | None = None) -> list[Shape]:
        return list(queries.list_ended(self.redis, job_id, status))

    def describe(self, run: Mapping[str, Any]) -> str:
        return describe_minute(run, "UTC").partition("  ")[2]


@pytest.fixture
def quickly(beat: Beat) -> Quickly:
    return Quickly(beat)


def summaries(runs: list[Shape]) -> list[tuple[int, int]]:
    """Return the numbers of ok and of skipped runs of each record of a minute."""
    return [(run["summary"]["ok"], run["summary"]["skipped"]) for run in runs if "summary" in run]


@pytest.mark.parametrize("jobs", [ALONE, MANY])
def test_ok_runs_are_one_record_a_minute(quickly: Quickly, jobs: int) -> None:
    quickly.beat.register(*(row(7 + n, every=1) for n in range(jobs)))
    quickly.run_alone(150)
    runs = quickly.ended()
    assert summaries(runs) == [(31, 0), (60, 0), (59, 0)]
    newest = runs[0]
    assert (newest["status"], newest["attempt"], newest["reason"]) == ("ok", 1, None)
    assert newest["run_id"] == RunId("7", quickly.begun + 120)
    assert newest["until"] == RunId("7", quickly.begun + 150).partition("@")[2]
    assert quickly.redis.llen(keys.HISTORY_PREFIX + "7") == 0
    tally = quickly.audit("7", quickly.begun)
    assert (tally.ok, tally.lost, tally.doubled) == (150, [], [])
    assert len(quickly.told()) == 150 * jobs
    # The newest runs of all jobs have a record a minute for each job, too.
    assert len(quickly.ended(None)) == 3 * jobs
    assert quickly.redis.llen(keys.RECENT) == 2 * jobs


@pytest.mark.parametrize("starts_at", ["12:00:00", "23:57:50"])
def test_many_jobs_do_not_close_their_minutes_together(beat: Beat, starts_at: str) -> None:
    """They would hold up Redis for a second. At midnight they do, because counts are by day."""
    beat.clock.now = datetime.fromisoformat(f"2030-11-24T{starts_at}Z").timestamp()
    quickly = Quickly(beat)
    # A batch has jobs of one priority.
    ids = {f"{letter}{n:03}": ord(letter) % 3 for letter in "abc" for n in range(OVERTIME)}
    quickly.beat.register(*(row(each, every=1, priority=ids[each]) for each in ids))
    quickly.run_alone(160)
    closed = set()
    for job_id in list(ids)[::100]:
        runs = list(split_runs(quickly.ledger.history(job_id)))
        assert len(runs) == len({run["run_id"] for run in runs}) == 160
        tally = quickly.audit(job_id, quickly.begun)
        assert (tally.ok, tally.lost, tally.doubled) == (160, [], [])
        closed.add(tuple(run["until"] for run in quickly.ended(job_id)[1:]))
    assert len(closed) == 3


def test_a_batch_of_quick_and_other_jobs(quickly: Quickly) -> None:
    quick = [row(f"quick-{n}", every=1) for n in range(12)]
    slow = [row(f"slow-{n}") for n in range(12)]
    quickly.beat.register(*quick, *slow)
    quickly.run_alone(61)
    assert len(quickly.told()) == 12 * 61 + 12
    assert quickly.redis.llen(keys.HISTORY_PREFIX + "slow-3") == 1
    assert quickly.redis.llen(keys.HISTORY_PREFIX + "quick-3") == 0
    assert summaries(quickly.ended("quick-3")) == [(2, 0), (59, 0)]
    assert [run["status"] for run in quickly.ended("slow-3")] == ["ok"]


def test_odd_ids_of_jobs_in_a_batch(quickly: Quickly) -> None:
    odd = ['a"b', "a/b\\c", "ü✅", ',"minute":"', "7"]
    quickly.beat.register(*(row(each, every=1) for each in [*odd, *range(100, 110)]))
    quickly.run_alone(62)
    for job_id in odd:
        assert summaries(quickly.ended(job_id)) == [(3, 0), (59, 0)]
        run_id = RunId(job_id, quickly.begun + 5)
        assert queries.describe_run(quickly.redis, run_id)["run_id"] == run_id


def test_a_flapping_job_keeps_each_failure(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL))
    quickly.fire_until(60)
    for second in range(1, 60):
        (claim,) = quickly.claim(second)
        failed = second % 3 == 0
        result = Result("failed", error=f"HTTP {second}") if failed else Result("ok", output="x")
        quickly.end(claim, result, took=0.08 if second == 2 else 0.012)
    runs = quickly.ended()
    (minute,) = [run for run in runs if "summary" in run]
    assert quickly.describe(minute) == "40 ok, median 12 ms, slowest 80 ms"
    failures = [run for run in runs if run["status"] == "failed"]
    assert [run["error"] for run in failures] == [f"HTTP {n}" for n in range(57, 0, -3)]
    assert len(quickly.ended(status="failed")) == 19
    tally = quickly.audit("7", quickly.begun)
    assert (tally.ok, tally.failed, tally.lost, tally.doubled) == (40, 19, [], [])
    run_id, _ = commands.reopen(quickly.redis, quickly.ledger, failures[0]["run_id"], 0.0)
    assert run_id == failures[0]["run_id"]


def test_a_retry_and_a_run_by_hand_keep_records_of_their_own(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL, retry={"max_attempts": 2, "backoff": 0.1}))
    quickly.fire_until(3)
    (claim,) = quickly.claim(1)
    quickly.end(claim, Result("failed", error="HTTP 500"), 0.01)
    assert quickly.ended() == []
    again = State(Kind.WAITING, attempt=2)
    quickly.ledger.hand_back(quickly.clock.now, [(claim.run_id, again)])
    (claim,) = quickly.claim(1, worker="w2")
    assert claim.attempt == 2
    quickly.end(claim, Result("ok"), 0.01, lag=1.5)
    for second in (2, 3):
        (claim,) = quickly.claim(second)
        quickly.end(claim, Result("ok"), 0.01)
    by_hand = commands.open_by_hand(quickly.ledger, claim_job(claim), quickly.clock.now + 0.2)
    (claim,) = quickly.ledger.claim("h#1", quickly.clock.now + 0.2, [by_hand])
    quickly.end(claim, Result("ok", output="done by hand"), 0.01)
    runs = quickly.ended()
    assert summaries(runs) == [(2, 0)]
    assert [run["attempt"] for run in runs if "summary" not in run] == [1, 2]
    assert queries.find_end(quickly.redis, by_hand)["output"] == "done by hand"
    tally = quickly.audit("7", quickly.begun)
    assert (tally.ok, tally.lost, tally.doubled, tally.unasked) == (3, [], [], [])


def claim_job(claim: Claim) -> Job:
    return Job.from_document(claim.document)


def test_a_run_that_ends_after_its_minute(quickly: Quickly) -> None:
    """Clocks differ, and a run may take long: its minute may be over, even long ago."""
    quickly.beat.register(row(7, every=1, action=CALL, overlap="allow"))
    quickly.fire_until(400)
    claims = {second: quickly.claim(second)[0] for second in range(1, 400)}
    late = {second: claims.pop(second) for second in (30, 59, 61, 130)}
    for claim in claims.values():
        quickly.end(claim, Result("ok"), 0.01)
    for claim in late.values():
        quickly.end(claim, Result("ok"), 300.0)
    runs = quickly.ended()
    assert sum(ok for ok, _ in summaries(runs)) + sum("summary" not in r for r in runs) == 399
    for claim in late.values():
        found = queries.describe_run(quickly.redis, claim.run_id)
        assert (found["status"], found["duration"]) == ("ok", 300.0)
    tally = quickly.audit("7", quickly.begun)
    assert (tally.expected - tally.open, tally.ok, tally.lost) == (399, 399, [])


def test_the_history_of_a_quick_job_is_bounded(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=20, action=CALL))
    seconds = range(20, 45 * 60, 20)
    quickly.open_all(seconds)
    for second in seconds:
        (claim,) = quickly.claim(second)
        quickly.end(claim, Result("ok"), 0.01)
    past = keys.MINUTES_PREFIX + "7"
    assert quickly.redis.llen(past) == 20
    assert quickly.redis.ttl(past) > 6.9 * 86_400
    assert quickly.redis.ttl(keys.MINUTE) > 6.9 * 86_400
    assert quickly.redis.memory_usage(past, samples=0) < 10_000


def test_a_claim_that_ended_changes_nothing_when_it_is_repeated(quickly: Quickly) -> None:
    """A worker is killed after Redis took its outcome, so the next one has nothing to do."""
    quickly.beat.register(row(7, every=1, action=CALL))
    quickly.fire_until(2)
    (claim,) = quickly.claim(1)
    outcome = quickly.end(claim, Result("ok"), 0.01)
    assert quickly.ledger.finish(quickly.clock.now, [outcome]) == []
    assert quickly.claim(1) == []
    assert len(quickly.ended()) == 1


def test_several_runs_of_a_job_in_one_step(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL, overlap="allow"))
    quickly.fire_until(70)
    outcomes = []
    for second in (65, 3, 66, 4):
        (claim,) = quickly.claim(second)
        run = Run(claim_job(claim), claim.run_id, claim.run_id.scheduled_for, 1)
        by = Attempt(1, run.scheduled_for, run.scheduled_for + 0.01, "w")
        outcomes.append(conclude(run, claim, Result("ok"), by, quickly.settings, 0.0))
    assert len(quickly.ledger.finish(quickly.clock.now, outcomes)) == 4
    assert summaries(quickly.ended()) == [(2, 0), (2, 0)]


def outgrow(quickly: Quickly, minutes: int, **fields: Any) -> None:
    """Let every fifth run of a job take 4.9 s, so that the four between are skipped."""
    quickly.beat.register(row(7, every=1, action=CALL, **fields))
    for first in range(1, 60 * minutes, 5):
        quickly.fire_until(first + 4)
        (claim,) = quickly.claim(first)
        for second in range(first + 1, first + 5):
            (skipped,) = quickly.claim(second)
            reason, _, other = skipped.verdict.partition("|")
            quickly.end(skipped, Result("skipped", reason, other=other), 0.0)
        quickly.end(claim, Result("ok"), 4.9)


def test_a_job_that_outgrew_its_interval(quickly: Quickly) -> None:
    outgrow(quickly, 2)
    runs = quickly.ended()
    assert summaries(runs) == [(12, 48), (12, 47)]
    assert [run["status"] for run in runs] == ["skipped", "ok", "ok"]
    told = "12 ok, median 4.9 s, slowest 4.9 s; "
    told += "47 skipped, because an earlier run was still running"
    assert quickly.describe(runs[-1]) == told
    assert quickly.redis.llen(keys.HISTORY_PREFIX + "7") == 0
    assert len(quickly.ended(None)) == 5  # two runs of 4.9 s ended after their minute
    tally = quickly.audit("7", quickly.begun)
    assert (tally.ok, tally.skipped, tally.lost) == (24, {"overlap": 96}, [])
    skipped = RunId("7", quickly.begun + 3)
    found = queries.describe_run(quickly.redis, skipped)
    assert (found["status"], found["reason"]) == ("skipped", "overlap")
    assert found["other"] == RunId("7", quickly.begun + 1)
    assert commands.reopen(quickly.redis, quickly.ledger, skipped, 0.0)[0] == skipped


def test_outgrowing_is_told_once(quickly: Quickly, quick: Quick) -> None:
    outgrow(quickly, 2)
    told = "outgrew its interval: median 4.9 s, every 1 s; 96 of the last 120 ticks were skipped"
    shown = quick.run("jobs", "show", "7").stdout
    assert shown.count(told) == 1
    assert json.loads(quick.run("jobs", "show", "7", "--json").stdout)["warnings"] == [told]


def test_a_job_that_has_not_outgrown_its_interval() -> None:
    schedule = schedules.parse(every=60)
    ok = {"status": "ok", "reason": None, "started_at": 0.0, "finished_at": 70.0}
    skipped = {"status": "skipped", "reason": "overlap", "started_at": None, "finished_at": 1.0}
    assert find_outgrown([ok, skipped], schedule, 0.0)
    assert find_outgrown([ok], schedule, 0.0) is None
    assert find_outgrown([], schedule, 0.0) is None
    assert find_outgrown([ok | {"finished_at": 50.0}, skipped], schedule, 0.0) is None
    assert find_outgrown([ok, skipped], schedules.parse(run_at="2030-01-01T00:00Z"), 0.0) is None
    never = [skipped | {"reason": "replaced"}]
    (found,) = [find_outgrown(never, schedule, 0.0)]
    assert found
    assert "no run ends before the next" in found.sentence


def test_skipped_ticks_do_not_push_out_failures(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL))
    quickly.open_all(range(1, 1500))
    for second in range(1, 1500):
        (claim,) = quickly.claim(second)
        failed = second % 50 == 0
        result = Result("failed", error="HTTP 500") if failed else Result("skipped", "overlap")
        quickly.end(claim, result, 0.0)
    assert len(quickly.ended(status="failed")) == 29
    tally = quickly.audit("7", quickly.begun // 3600 * 3600)
    assert (tally.failed, tally.skipped, tally.lost) == (29, {"overlap": 1_470}, [])


def test_the_command_line_shows_minutes(quickly: Quickly, quick: Quick) -> None:
    quickly.beat.register(row(7, every=1))
    quickly.run_alone(62)
    figures = "59 ok, median <1 ms, slowest <1 ms"
    minute = f"{RunId('7', quickly.begun).partition('T')[2][:5]}  {figures}"
    for command in ("runs", "7"), ("runs",), ("jobs", "show", "7"):
        assert minute in quick.run(*command, COLUMNS="300").stdout
    listed = json.loads(quick.run("runs", "7", "--json").stdout)
    assert listed[-1]["summary"] == {"ok": 59, "median": 0.0, "slowest": 0.0, "skipped": 0}
    assert listed[-1]["duration"] == 0.0
    run_id = RunId("7", quickly.begun + 30)
    told = quick.run("runs", "show", run_id).stdout
    assert "fires more than once a minute" in told
    assert figures in told
    found = json.loads(quick.run("runs", "show", run_id, "--json").stdout)
    assert (found["run_id"], found["status"], found["duration"]) == (run_id, "ok", 0.0)
    assert found["minute"]["ok"] == 59
    assert "ended ok" in quick.run("runs", "retry", run_id, code=1).stderr
    gone = quick.run("runs", "show", RunId("7", quickly.begun - 5), code=1).stderr
    assert "kept as one summary a minute" in gone
    at = quickly.begun + 30
    _, answer = explain_at(quickly.redis, "7", lambda _: at, quickly.clock.now)
    assert "ran ok; it started at" in answer.sentence


def test_single_records_of_the_version_before_are_still_read(quickly: Quickly) -> None:
    """The previous version kept a whole or a short record for each run of a quick job."""
    quickly.beat.register(row(7, every=1, action=CALL))
    begun = quickly.begun
    old = [
        json.dumps([RunId("7", begun - 60).partition("@")[2], begun - 60, begun - 59.5, "w"]),
        json.dumps(
            {
                "run_id": RunId("7", begun - 5),
                "scheduled_for": RunId("7", begun - 5).partition("@")[2],
                "status": "ok",
                "reason": None,
                "attempt": 1,
                "started_at": begun - 5,
                "finished_at": begun - 4,
                "worker": "w",
                "error": None,
                "output": "kept",
            }
        ),
    ]
    quickly.redis.lpush(keys.HISTORY_PREFIX + "7", *old)
    quickly.redis.lpush(keys.RECENT, f"{old[0]}\n7", old[1])
    quickly.redis.expire(keys.HISTORY_PREFIX + "7", 60)
    quickly.redis.expire(keys.RECENT, 60)
    quickly.fire_until(3)
    for second in (1, 2, 3):
        quickly.end(quickly.claim(second)[0], Result("ok"), 0.01)
    for job_id in ("7", None):
        runs = quickly.ended(job_id)
        assert [run["run_id"] for run in runs] == [
            RunId("7", begun + each) for each in (1, -5, -60)
        ]
        assert summaries(runs) == [(3, 0)]
    assert queries.find_end(quickly.redis, RunId("7", begun - 5))["output"] == "kept"


def test_a_record_of_a_minute_is_one_record_for_the_version_before(quickly: Quickly) -> None:
    """During an upgrade a Flower of the previous version reads the newest runs of all jobs."""
    quickly.beat.register(*(row(7 + n, every=1) for n in range(MANY)))
    quickly.run_alone(61)
    for line in quickly.redis.lrange(keys.RECENT, 0, -1):
        record = json.loads(line)
        assert (record["status"], record["attempt"]) == ("ok", 1)
        assert record["finished_at"] >= record["started_at"]
        assert RunId.stored(record["run_id"]).job_id


def test_an_edit_between_quick_and_slow(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1))
    quickly.run_alone(5)
    quickly.beat.register(row(7, every=60))
    quickly.run_alone(56)
    runs = quickly.ended()
    assert [run["run_id"] for run in runs] == [RunId("7", quickly.begun + n) for n in (60, 1)]
    assert summaries(runs) == [(5, 0)]
    newest = quickly.ledger.newest(["7", "8"])
    assert json.loads(newest[0] or "")["run_id"] == RunId("7", quickly.begun + 60)
    assert newest[1] is None


def test_the_newest_run_of_a_quick_job(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL))
    quickly.fire_until(3)
    quickly.end(quickly.claim(1)[0], Result("ok"), 0.01)
    quickly.end(quickly.claim(2)[0], Result("failed", error="HTTP 500"), 0.01)

    def newest() -> tuple[str, str]:
        (line,) = quickly.ledger.newest(["7"])
        record = json.loads(line or "")
        return record["run_id"][-3:], record["status"]

    assert newest() == ("02Z", "failed")
    quickly.end(quickly.claim(3)[0], Result("ok"), 0.01)
    assert newest() == ("03Z", "ok")


@pytest.mark.parametrize("key", [keys.MINUTE, keys.MINUTES_PREFIX + "7"])
def test_a_key_of_another_type_holds_up_no_run(quickly: Quickly, key: str) -> None:
    quickly.beat.register(*(row(7 + n, every=1) for n in range(MANY)))
    quickly.redis.set(key, "x", ex=600)
    quickly.run_alone(62)
    assert quickly.audit("7", quickly.begun).ok == 62


@pytest.mark.parametrize("jobs", [ALONE, MANY])
@pytest.mark.parametrize("text", ["garbage", "99 garbage", "99999999 garbage", "99 {", ""])
def test_garbage_in_the_minute_of_a_job_holds_up_no_run(
    quickly: Quickly, jobs: int, text: str
) -> None:
    quickly.beat.register(*(row(7 + n, every=1) for n in range(jobs)))
    quickly.redis.hset(keys.MINUTE, "7", text)
    assert quickly.ledger.newest(["7"]) == [None]
    assert quickly.ended() == quickly.ended(None) == []
    quickly.run_alone(3)
    assert quickly.audit("7", quickly.begun).ok == 3


@pytest.mark.parametrize("has_run_id", [True, False])
def test_a_minute_in_progress_of_the_previous_version(quickly: Quickly, has_run_id: bool) -> None:
    """It counted these runs one by one. The version before it stored the run id of the first run,
    too."""
    quickly.beat.register(row(7, every=1))
    quickly.run_alone(3)
    redis, run_id = quickly.redis, RunId("7", quickly.begun + 1)
    number, _, record = redis.hget(keys.MINUTE, "7").partition(" ")
    day, packed = count_minute(f"{number} {record}") or (0, 0)
    stored = f'{{"run_id":"{run_id}"{record}' if has_run_id else record
    redis.delete(keys.MINUTE)
    redis.hset(keys.COUNTED_MINUTE, "7", f"{number} {stored}")
    redis.hset(f"{keys.COUNT_PREFIX}{day}", "7", packed)
    Comparison(redis, quickly.settings, lambda: quickly.clock.now).step()
    assert not redis.exists(keys.COUNTED_MINUTE)
    assert summaries(quickly.ended()) == summaries(quickly.ended(None)) == [(3, 0)]
    assert quickly.ended()[0]["run_id"] == run_id
    quickly.run_alone(60)
    tally = quickly.audit("7", quickly.begun)
    assert (tally.ok, tally.lost, tally.doubled) == (63, [], [])


def test_a_removed_job_leaves_no_minutes(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL))
    quickly.fire_until(62)
    for second in range(1, 62):
        quickly.end(quickly.claim(second)[0], Result("ok"), 0.01)
    (claim,) = quickly.claim(62)
    apply(quickly.redis, Changes(removed=["7"]), quickly.clock.now)
    quickly.end(claim, Result("ok"), 0.01)
    assert not quickly.redis.exists(keys.MINUTES_PREFIX + "7", keys.MINUTE)
    newest = quickly.ended(None)
    assert (newest[0]["run_id"], newest[0]["status"]) == (claim.run_id, "ok")
    tally = quickly.audit("7", quickly.begun)
    assert (tally.ok, tally.lost, tally.doubled) == (62, [], [])


def test_runs_are_followed_one_by_one(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL))
    tail, seen = Tail(quickly.redis), []
    assert tail.read() == []
    for second in range(1, 122):
        quickly.fire_until(second)
        quickly.end(quickly.claim(second)[0], Result("ok"), 0.01)
        if second % 7 == 0:
            seen += [run["run_id"] for run in tail.read()]
    seen += [run["run_id"] for run in tail.read()]
    assert seen == [RunId("7", quickly.begun + second) for second in range(1, 122)]
    late = Tail(quickly.redis).read()
    assert [run["run_id"] for run in late if "summary" not in run] == seen[-2:]
    assert sum(run["summary"]["ok"] for run in late if "summary" in run) == 119
    assert tail.read() == []


def test_the_last_minute_of_a_removed_job_is_shown(quickly: Quickly) -> None:
    quickly.beat.register(row(7, every=1, action=CALL))
    quickly.fire_until(3)
    for second in (1, 2, 3):
        quickly.end(quickly.claim(second)[0], Result("ok"), 0.01)
    apply(quickly.redis, Changes(removed=["7"]), quickly.clock.now)
    run_id = RunId("7", quickly.begun + 2)
    assert queries.describe_run(quickly.redis, run_id)["status"] == "ok"


def test_a_minute_keeps_what_clocks_say(quickly: Quickly) -> None:
    """Workers whose clocks are minutes apart share the minutes of the fire times."""
    quickly.beat.register(row(7, every=1, action=CALL, overlap="allow"))
    quickly.fire_until(130)
    for second in range(1, 130):
        quickly.end(quickly.claim(second)[0], Result("ok"), 0.01, lag=(-90, 0, 700)[second % 3])
    assert sum(ok for ok, _ in summaries(quickly.ended())) == 129
