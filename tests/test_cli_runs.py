"""`cron-tasks runs` and `backfill`, with a ledger filled by its own methods, and once with
workers."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine, Quick
from helpers import PATIENCE, wait_until
from processes import Celery, Valkey
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Advance, Claim
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.runs.outcomes import conclude, write_record
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.runs.shapes import Shape
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.text.trace_ids import trace_id_of

NOON = 1_772_452_800.0  # 2026-03-02T12:00:00Z
HOUR = 3600.0
HOURLY = {"id": 7, "name": "Water the plants", "cron_expression": "0 * * * *"}
TRIES = {"id": 8, "name": "Try", "cron_expression": "0 * * * *", "retry": {"max_attempts": 3}}
SLOW = {
    "id": "a*b",
    "name": "Slow",
    "cron_expression": "0 * * * *",
    "action": {"type": "http", "url": "http://example.org/"},
    "overlap": "queue",
}
WORKER = "w1@test/1/abc"
HEADING = ("RUN", "STATUS", "ATTEMPT", "ENDED", "TOOK")


def at(hours: float, job_id: str = "7") -> str:
    """Return the run id of the tick this many hours after noon."""
    return RunId(job_id, NOON + hours * HOUR)


class World:
    """A ledger in which a test fires and ends ticks."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.ledger = Ledger(redis, Settings())
        self.now = NOON

    def fire(self, *run_ids: RunId, missed: bytes = b"") -> None:
        self.redis.set(keys.LEADER_LOCK, "me", ex=60)
        for each in run_ids:
            job_id, when = each.job_id, each.scheduled_for
            key = keys.entry_key(job_id)
            self.redis.zadd(keys.SCHEDULE, {key: when})
            ticks = [] if missed else [each]
            step = Advance(key, repr(when), when + HOUR, "{}", ticks, job_id, missed)
            edits = int(self.redis.get(keys.EDITS) or 0)
            assert self.ledger.advance("me", self.now, [step], edits) == ticks

    def claim(self, tick: RunId) -> list[Claim]:
        return self.ledger.claim(f"{WORKER}#0", self.now, [tick])

    def end(self, tick: RunId, result: Result, fire: bool = True) -> None:
        """Fire and claim a tick, and end it with this result after 2.5 seconds."""
        if fire:
            self.fire(tick)
        (claim,) = self.claim(tick)
        started, self.now = self.now, self.now + 2.5
        job = Job.from_document(claim.document)
        run = Run(job, tick, tick.scheduled_for, claim.attempt)
        by = Attempt(claim.attempt, started, self.now, WORKER)
        outcome = conclude(run, claim, result, by, Settings(), 1.0)
        assert self.ledger.finish(self.now, [outcome]) == [tick]

    def miss(self, first: RunId, last: RunId) -> None:
        """Record the ticks from `first` to `last` as missed."""
        by = Attempt(0, None, self.now, None)
        line = write_record(first, Result("missed", "coalesced"), by, last.scheduled_for)
        self.fire(first, missed=line)


@pytest.fixture
def world(redis: Redis, synced: Callable[..., None]) -> World:
    synced(HOURLY, TRIES, SLOW)
    for job in (HOURLY, TRIES, SLOW):
        redis.hset(keys.entry_key(str(job["id"])), "since", repr(NOON - 12.5 * HOUR))
    return World(redis)


def fill(world: World) -> None:
    world.end(at(0), Result("ok", output="done"))
    world.end(at(1), Result("failed", error="HTTP 500"))
    world.miss(at(2), at(5))
    stretch = '{"from": 1, "status": "missed", "reason": "set_aside"}'  # it names no run
    world.redis.zadd(keys.ACCOUNT_PREFIX + "7", {stretch: NOON + 2.2 * HOUR})
    world.end(at(0, "8"), Result("skipped", "overlap", other=at(-1, "8")))
    world.end(at(1, "8"), Result("failed", error="HTTP 502"))  # is tried again
    world.fire(at(6), at(7))
    world.claim(at(6))
    world.fire(at(0, "a*b"), at(2, "a*b"))
    world.claim(at(0, "a*b"))
    assert world.claim(at(2, "a*b")) == []  # waits for the end of the one before


LISTED: list[tuple[list[str], list[tuple[str, str]]]] = [
    (
        [],
        [
            (at(7), "pending"),
            (at(6), "running"),
            (at(2, "a*b"), "pending"),
            (at(1, "8"), "retrying"),
            (at(0, "a*b"), "running"),
            (at(0, "8"), "skipped"),
            (at(2), "missed"),
            (at(1), "failed"),
            (at(0), "ok"),
        ],
    ),
    (
        ["7"],
        [
            (at(7), "pending"),
            (at(6), "running"),
            (at(2), "missed"),
            (at(1), "failed"),
            (at(0), "ok"),
        ],
    ),
    (["a*b"], [(at(2, "a*b"), "pending"), (at(0, "a*b"), "running")]),
    (["7", "-n", "3"], [(at(7), "pending"), (at(6), "running"), (at(2), "missed")]),
    (["--status", "failed"], [(at(1), "failed")]),
    (["--status", "missed", "7"], [(at(2), "missed")]),
    (["list", "--status", "retrying"], [(at(1, "8"), "retrying")]),
    (["7", "--status", "ok"], [(at(0), "ok")]),
    (["8", "--status", "failed"], []),
    (["7", "--since", "2026-03-02T12:00:03Z", "--status", "failed"], [(at(1), "failed")]),
    (["7", "--since", "2026-03-02T12:00:06Z", "--status", "failed"], []),
    (["7", "--since", "2h"], [(at(7), "pending"), (at(6), "running")]),
    (["7", "--since", "PT5M", "--status", "ok"], []),
]


def test_runs_are_listed_newest_first(quick: Quick, world: World) -> None:
    fill(world)
    for arguments, expected in LISTED:
        found = quick.json("runs", *arguments)
        assert [(run["run_id"], run["status"]) for run in found] == expected, arguments


def test_a_listed_run_has_the_fields_of_the_contract(quick: Quick, world: World) -> None:
    fill(world)
    *_, failed, _ = quick.json("runs")
    assert failed == {
        "run_id": at(1),
        "job_id": "7",
        "scheduled_for": "2026-03-02T13:00:00Z",
        "status": "failed",
        "reason": None,
        "attempt": 1,
        "started_at": "2026-03-02T12:00:02.500000+00:00",
        "finished_at": "2026-03-02T12:00:05+00:00",
        "duration": 2.5,
        "worker": WORKER,
        "error": "HTTP 500",
    }
    for run in quick.json("runs"):
        assert run.keys() - {"until"} == failed.keys()
    (retrying,) = quick.json("runs", "8", "--status", "retrying")
    assert (retrying["attempt"], retrying["error"]) == (2, "HTTP 502")
    running = quick.json("runs", "--status", "running")[0]
    assert (running["worker"], running["started_at"]) == (WORKER, None)
    assert quick.json("runs", "a*b")[0]["reason"] == "queued"


def test_runs_as_a_table(quick: Quick, world: World) -> None:
    fill(world)
    lines = quick.lines("runs")
    assert lines[0].split() == [*HEADING, "NAME", "WORKER", "REASON"]
    assert re.fullmatch(
        r"7@2026-03-02T19:00:00Z +pending +1 +- +- +Water the plants +- +-", lines[1]
    )
    assert re.search(
        r"^7@\S+ +missed .* coalesced \(all ticks until 2026-03-02T17:00:00\+00:00\)$",
        "\n".join(lines),
        re.M,
    )
    assert re.search(rf"skipped .*overlap \({at(-1, '8')}\)$", "\n".join(lines), re.M)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["runs", "77"], 1, "No job has the ID '77'; did you mean '7'?"),
        (["runs", "7", "--since", "noon"], 2, "'--since': 'noon' is not an ISO 8601 time (2026"),
        (["runs", "--since", "tomorrow"], 2, "'tomorrow' is 20"),
        (["audit", "--since", "2099-01-01"], 2, "T00:00:00+00:00, which is in the future"),
        (["backfill", "7", "--from", "2099-01-01", "--to", "now"], 2, "which is in the future"),
        (["why", "7", "--at", "noon"], 2, "'--at': 'noon' is not an ISO 8601 time (2026-03-01T09"),
        (["runs", "shwo"], 1, "Did you mean the command `cron-tasks runs show`?"),
        (
            ["runs", "--follow", "--status", "pending"],
            2,
            "Use --status ok, failed, skipped or missed",
        ),
        (["runs", "--status", "bad"], 2, "'bad' is not one of 'pending'"),
        (["runs", "show", "7"], 1, "'7' is not a run ID. Example: 7@2026-11-23T09:00:00Z"),
        (["runs", "show", at(9)], 1, f"Run {at(9)} was not found. It may have expired, or"),
        (["runs", "show", at(9, "9")], 1, "No job has the ID '9'"),
        (["runs", "retry", at(9)], 1, f"Run {at(9)} was not found. It may have expired, or"),
        (["runs", "retry", at(0)], 1, f"Run {at(0)} ended ok. Only failed, skipped or missed"),
        (["runs", "retry", at(7)], 1, f"Run {at(7)} has not ended yet"),
        (["runs", "retry", at(2.5)], 1, "Job 7 has no tick at that time"),
        (["runs", "cancel", at(0)], 1, f"Run {at(0)} has already ended with status ok"),
        (["runs", "cancel", at(9)], 1, f"Run {at(9)} was not found. It may have expired, or"),
        (["backfill", "7", "--from", "1h", "--to", "2h"], 2, "it is before --from"),
        (
            ["backfill", "7", "--from", "2000-01-01", "--to", "1d"],
            1,
            "more than 10,000 ticks",
        ),
        (["backfill", "77", "--from", "2h", "--to", "1h"], 1, "No job has the ID '77'"),
    ],
)
def test_an_impossible_request_is_one_sentence(
    arguments: list[str], code: int, expected: str, quick: Quick, world: World
) -> None:
    fill(world)
    error = quick.error(*arguments, code=code)
    assert expected in error
    assert len([line for line in error.splitlines() if line.startswith("Error: ")]) == 1


def test_runs_show_has_every_attempt_of_an_ended_run(quick: Quick, world: World) -> None:
    for tried in range(3):
        error = Result("failed", error=f"HTTP 50{tried}", output="a\n\x1b[31mb")
        world.end(at(0, "8"), error, fire=tried == 0)
        if tried < 2:
            state = world.redis.hget(keys.OPEN, at(0, "8")) or ""
            world.ledger.hand_back(world.now, [(at(0, "8"), state)])
    shown = quick.json("runs", "show", at(0, "8"))
    assert [each["error"] for each in shown["attempts"]] == ["HTTP 500", "HTTP 501", "HTTP 502"]
    assert [each["duration"] for each in shown["attempts"]] == [2.5] * 3
    assert (shown["job_name"], shown["status"], shown["attempt"]) == ("Try", "failed", 3)
    text = quick.run("runs", "show", at(0, "8")).stdout
    assert text.endswith("\n\noutput:\na\n\\x1b[31mb\n")
    assert re.search(rf"^2 +2026-\S+ +2026-\S+ +2\.5 s +{WORKER} +HTTP 501$", text, re.M)


def test_runs_show_of_skipped_missed_and_open_runs(quick: Quick, world: World) -> None:
    fill(world)
    skipped = quick.json("runs", "show", at(0, "8"))
    assert (skipped["reason"], skipped["other"]) == ("overlap", at(-1, "8"))
    missed = quick.json("runs", "show", at(3))
    assert (missed["run_id"], missed["scheduled_for"]) == (at(3), "2026-03-02T15:00:00Z")
    assert (missed["status"], missed["since"], missed["attempts"]) == (
        "missed",
        "2026-03-02T14:00:00Z",
        [],
    )
    retrying = quick.json("runs", "show", at(1, "8"))
    assert [each["error"] for each in retrying["attempts"]] == ["HTTP 502"]
    assert retrying["retry_at"] > "2026-03-02T12:00:1"
    world.ledger.stop([at(6)], "cancelled|")
    running = quick.json("runs", "show", at(6))
    assert (running["holder"], running["stopping"]) == (f"{WORKER}#0", "cancelled")


def test_commands_link_to_the_trace_of_a_run(quick: Quick, world: World) -> None:
    """Fire times that were missed together have the trace of the first one."""
    fill(world)
    address = {"TRACE_URL": "https://traces.example/{trace_id}"}
    for tick, traced in ((at(0, "8"), at(0, "8")), (at(3), "7@2026-03-02T14:00:00Z")):
        trace_id = trace_id_of(traced)
        shown = quick.json("runs", "show", tick, **address)
        assert shown["trace_id"] == trace_id
        assert shown["trace_url"] == f"https://traces.example/{trace_id}"
        lines = quick.lines("runs", "show", tick, **address)
        assert f"trace_url          https://traces.example/{trace_id}" in lines
    assert quick.json("runs", "show", at(0, "8"))["trace_url"] is None

    job_id, _, moment = at(0, "8").rpartition("@")
    trace_id = trace_id_of(at(0, "8"))
    told = quick.json("why", job_id, "--at", moment, **address)
    assert (told["trace_id"], told["trace_url"][-32:]) == (trace_id, trace_id)
    lines = quick.lines("why", job_id, "--at", moment, **address)
    assert lines == [told["sentence"], f"Trace: https://traces.example/{trace_id}"]
    assert quick.lines("why", job_id, "--at", moment) == [told["sentence"]]
    none = quick.json("why", job_id, "--at", "2020-01-01", **address)
    assert (none["trace_id"], none["trace_url"]) == (None, None)


def test_runs_of_a_removed_job_can_still_be_shown(
    quick: Quick, world: World, synced: Callable[..., None]
) -> None:
    fill(world)
    synced(TRIES)
    shown = quick.json("runs", "show", at(1))
    assert (shown["status"], shown["job_name"]) == ("failed", None)


@pytest.mark.parametrize("tick", [at(7), at(1, "8"), at(2, "a*b")])
def test_a_waiting_run_is_cancelled_at_once(tick: str, quick: Quick, world: World) -> None:
    fill(world)
    assert quick.lines("runs", "cancel", tick) == [f"Run {tick} was cancelled"]
    shown = quick.json("runs", "show", tick)
    assert (shown["status"], shown["reason"]) == ("skipped", "cancelled")
    assert not world.redis.hexists(keys.OPEN, tick)
    assert "ended with status skipped" in quick.error("runs", "cancel", tick)


def test_a_running_run_is_asked_to_stop(quick: Quick, world: World) -> None:
    fill(world)
    assert quick.json("runs", "cancel", at(0, "a*b"))["state"] == "asked to stop"
    renewed = world.ledger.renew(f"{WORKER}#0", world.now, [at(0, "a*b")])
    assert renewed == {at(0, "a*b"): "cancelled|"}
    assert 0 < world.redis.ttl(keys.STOP) <= 86_400
    world.end(at(0, "a*b"), Result("skipped", "cancelled"), fire=False)
    assert world.ledger.stop([at(0, "a*b")], "cancelled|") == []  # or it would stop the next retry
    assert not world.redis.exists(keys.STOP)


def test_backfill_opens_what_did_not_run(quick: Quick, world: World) -> None:
    fill(world)
    world.redis.hset(keys.entry_key("7"), "since", repr(NOON - 1))  # before that it was not there
    arguments = ["backfill", "7", "--from", "2026-03-02T11:00:00Z", "--to", "2026-03-02T20:00:00Z"]
    lines = quick.lines(*arguments, "--dry-run")
    assert [line.split()[1] for line in lines[1:-2]] == ["failed", *["missed"] * 4]
    assert lines[-2:] == [
        "Ticks of the current schedule that were not due: 1 before 2026-03-02T11:59:59+00:00",
        "9 ticks: 5 would run, 1 ran ok, 3 still open",
    ]
    assert not world.redis.hexists(keys.OPEN, at(1))
    done = quick.json(*arguments)
    assert done["opened"] == [at(1), at(2), at(3), at(4), at(5)]
    assert done["not_due"] == {"paused_or_disabled": 0, "before_known": 1}
    assert world.redis.hmget(keys.OPEN, at(1), at(-1)) == ["p|1|hrc|", None]
    assert world.redis.exists(keys.WAKE)
    for tick in done["opened"]:
        world.end(RunId.stored(tick), Result("ok"), fire=False)
    assert quick.lines(*arguments) == ["9 ticks: 0 to run, 6 ran ok, 3 still open"]


def test_backfill_counts_ok_ticks_that_the_history_dropped(quick: Quick, world: World) -> None:
    for hour in range(-12, 12):
        world.end(at(hour), Result("ok"))
    world.redis.delete(keys.HISTORY_PREFIX + "7")
    day = ["--from", "2026-03-02", "--to", "2026-03-02T23:59:59Z"]
    assert quick.lines("backfill", "7", *day) == ["24 ticks: 0 to run, 24 ran ok"]
    world.redis.hincrby(f"{keys.COUNT_PREFIX}{int(NOON // 86400)}", "7", -(10**13))
    assert quick.lines("backfill", "7", *day)[0].startswith("24 ticks: 0 to run, 0 ran ok, 24 left")
    assert not world.redis.exists(keys.OPEN)


def test_following_loses_nothing_and_waits_for_redis(tmp_path: Path) -> None:
    own = Valkey(tmp_path / "valkey", appendfsync="always")
    try:
        with Redis.from_url(own.url, decode_responses=True) as redis:
            _follow(CommandLine(tmp_path, REDIS_URL=own.url), World(redis), own)
    finally:
        own.stop()


def _follow(cli: CommandLine, world: World, own: Valkey) -> None:
    def happened(number: int) -> str:
        line = write_record(RunId("7", NOON + number), Result("ok"), Attempt(1, NOON, NOON, "w"))
        return line.decode()

    def push(numbers: range) -> None:
        world.redis.lpush(keys.RECENT, *map(happened, numbers))

    seen: list[str] = []
    push(range(3))
    with cli.start("runs", "--follow", "--json", "-n", "2") as process:
        assert process.stdout is not None
        assert process.stderr is not None

        def read(count: int) -> None:
            seen.extend(json.loads(process.stdout.readline())["run_id"] for _ in range(count))

        read(2)
        push(range(3, 2000))
        read(1997)
        own.kill()
        assert process.stderr.readline().startswith("Waiting for Redis at ")
        own.start()
        own.wait_ready()
        push(range(2000, 2002))
        read(2)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 130
    assert seen == [RunId("7", NOON + number) for number in range(1, 2002)]


def test_runs_is_part_of_the_celery_plug_in(cli: CommandLine, world: World) -> None:
    fill(world)
    celery = [sys.executable, "-m", "celery", "-A", "cron_tasks", "cron-tasks"]
    out = subprocess.run(
        [*celery, "runs", "7", "--status", "failed", "--json"],
        env=cli.env({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [run["run_id"] for run in json.loads(out.stdout)] == [at(1)]


def test_manual_runs_with_beat_and_workers(
    cli: CommandLine, quick: Quick, redis: Redis, synced: Callable[..., None], celery: Celery
) -> None:
    """Cancel a run without a worker, retry it, wait for it, and backfill a period."""
    window = {"start_at": "2026-03-02T12:00:00Z", "end_at": "2026-03-02T15:00:00Z"}
    synced({**HOURLY, **window}, {**SLOW, **window})
    for job_id in ("7", "a*b"):  # as if both had been there for long
        redis.hset(keys.entry_key(job_id), "since", repr(NOON - HOUR))
    tick = cli.run("jobs", "run", "7").stdout.strip()
    assert quick.lines("runs", "cancel", tick) == [f"Run {tick} was cancelled"]
    celery.beat()
    celery.worker(2)
    again, end = cli.lines("runs", "retry", tick, "--wait")
    assert (again, end.partition(" after ")[0]) == (tick, "ok")
    assert cli.json("jobs", "run", "a*b", "--wait", code=1)["status"] == "failed"
    period = ["--from", "2026-03-01", "--to", "2026-03-03"]
    assert quick.lines("backfill", "7", *period) == ["3 ticks: 3 to run, 0 ran ok"]
    made_up_for = {at(0), at(1), at(2)}
    wait_until(lambda: made_up_for <= {run["run_id"] for run in ran_ok(redis)}, "the three runs")
    summary, *ends = cli.lines("backfill", "a*b", *period)
    assert summary == "3 ticks: 3 to run, 0 ran ok"
    assert [line.split()[:2] for line in ends] == [[at(n, "a*b"), "failed"] for n in range(3)]


def ran_ok(redis: Redis) -> list[Shape]:
    return list(queries.list_ended(redis, "7", "ok"))
