"""Stops that come while an attempt ends, and manual runs of paused and disabled jobs."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from applying import apply
from command_line import CommandLine
from helpers import NEVER_DUE, PATIENCE, wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer, reply

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Claim, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.runs.commands import open_by_hand
from cron_tasks.runs.outcomes import conclude, write_record
from cron_tasks.runs.overdue import decide_overdue
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings
from cron_tasks.store import keys

NOW = 1_800_000_000.0
TICK = RunId("7", NOW)
HTTP = {"type": "http", "url": "http://127.0.0.1:9/"}
ROW = {
    "id": 7, "name": "Report", "cron_expression": "0 * * * *", "action": HTTP, "chat_id": 1,
    "retry": {"max_attempts": 5}, "notify": {"on": ["success", "failure", "skipped"]},
}  # fmt: skip


def made(**more: Any) -> Job:
    job = validate_row(ROW | more, timezone="UTC", permissions=Permissions(http=("127.0.0.1",)))
    assert isinstance(job, Job)
    return job


class Attempted:
    """A run whose first attempt is in flight."""

    def __init__(self, redis: Redis, by_hand: bool = False, **more: Any) -> None:
        self.redis, self.job = redis, made(**more)
        self.ledger, self.registry = Ledger(redis, Settings()), Registry(redis)
        apply(redis, Changes(added=[Desired(self.job, "x")]), NOW - 60)
        if by_hand:
            self.ledger.open([TICK], NOW)
        else:
            redis.hset(keys.OPEN, TICK, "p|1||")
            redis.zadd(keys.DEADLINES, {TICK: NOW + 5})
        (self.claim,) = self.ledger.claim("w#1", NOW, [TICK])

    def fail(self, claim: Claim | None = None) -> str:
        """End the attempt as failed, with a retry. Return the status that the run gets."""
        claim = claim or self.claim
        run = Run(self.job, TICK, NOW, claim.attempt)
        by = Attempt(claim.attempt, NOW, NOW + 1, "w")
        result = Result("failed", error="HTTP 503", retry_after=3600.0)
        outcome = conclude(run, claim, result, by, Settings(), 0.5)
        assert outcome.status == "retry"
        assert self.ledger.finish(NOW + 1, [outcome]) == [TICK]
        return outcome.status

    def record(self) -> tuple[str, str | None, str | None, int]:
        found = queries.find_end(self.redis, TICK)
        assert found
        return found["status"], found["reason"], found["error"], found["attempt"]


@pytest.fixture
def stops() -> dict[str, Callable[[Attempted], object]]:
    return {
        "cancelled": lambda it: it.ledger.stop([TICK], "cancelled|"),
        "replaced": lambda it: it.ledger.stop([TICK], f"replaced|{RunId('7', NOW + 60)}"),
        "paused": lambda it: it.registry.pause("7", "stocktaking", NOW),
        "removed": lambda it: apply(it.redis, Changes(removed=["7"]), NOW),
    }


@pytest.mark.parametrize("reason", ["cancelled", "replaced", "paused", "removed"])
def test_a_stop_that_comes_while_an_attempt_fails_ends_the_run(
    redis: Redis, stops: dict[str, Callable[[Attempted], object]], reason: str
) -> None:
    it = Attempted(redis)
    stops[reason](it)
    status = "failed" if reason == "paused" else "skipped"
    assert it.fail() == status
    assert it.record() == (status, reason, "HTTP 503", 1)
    assert not redis.exists(
        keys.OPEN, keys.DEADLINES, keys.ATTEMPTS, keys.STOP, keys.GOING, keys.QUEUED
    )
    told = [json.loads(line)["event"] for line in redis.lrange("queue:to_telegram", 0, -1)]
    assert told == {"paused": ["failure"], "removed": []}.get(reason, ["skipped"])


@pytest.mark.parametrize("reason", ["cancelled", "replaced", "paused", "removed"])
def test_the_next_run_of_the_job_is_not_held_up(
    redis: Redis, stops: dict[str, Callable[[Attempted], object]], reason: str
) -> None:
    it = Attempted(redis)
    stops[reason](it)
    it.fail()
    if reason == "removed":
        apply(redis, Changes(added=[Desired(it.job, "x")]), NOW + 2)
    if reason == "paused":
        it.registry.resume("7", NOW + 2)
    later = RunId("7", NOW + 3600)
    redis.hset(keys.OPEN, later, "p|1||")
    (claim,) = it.ledger.claim("w#2", NOW + 3600, [later])
    assert claim.verdict == ""


def test_a_redis_that_fails_between_the_two_steps_of_a_stop_is_asked_again(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker calls `finish` again with the same outcome, which must not have half changed."""
    from redis.exceptions import ConnectionError

    from cron_tasks.ledger import steps

    it = Attempted(redis)
    it.ledger.stop([TICK], "cancelled|")
    run, by = Run(it.job, TICK, NOW, 1), Attempt(1, NOW, NOW + 1, "w")
    outcome = conclude(run, it.claim, Result("failed", error="HTTP 503"), by, Settings(), 0.5)
    original, calls = steps.finish, [0]

    def failing(redis: Redis, **values: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise ConnectionError("frozen")
        return original(redis, **values)

    monkeypatch.setattr(steps, "finish", failing)
    with pytest.raises(ConnectionError):
        it.ledger.finish(NOW + 1, [outcome])
    assert it.ledger.finish(NOW + 2, [outcome]) == [TICK]
    assert it.record() == ("skipped", "cancelled", "HTTP 503", 1)


def test_a_retry_that_nobody_stops_waits(redis: Redis) -> None:
    it = Attempted(redis)
    assert it.fail() == "retry"
    assert redis.hget(keys.OPEN, TICK) == "w|2||"


def test_a_pause_does_not_end_what_a_person_started(redis: Redis) -> None:
    it = Attempted(redis, by_hand=True)
    it.registry.pause("7", "stocktaking", NOW)
    assert it.fail() == "retry"
    it.ledger.look_after({"7"}, NOW + 2)
    (overdue,) = it.ledger.overdue(NOW + 9999, 10)
    assert overdue.unwanted == ""
    it.ledger.stop([TICK], "cancelled|")
    (overdue,) = it.ledger.overdue(NOW + 9999, 10)
    assert overdue.unwanted == "cancelled|"


def test_a_run_by_hand_never_takes_the_name_of_a_tick(redis: Redis) -> None:
    it = Attempted(redis)
    assert open_by_hand(it.ledger, it.job, NOW + 3600) == RunId("7", NOW + 3600.001)


@pytest.mark.parametrize("failed_before", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_a_run_that_is_done_again_fails_and_is_stopped_shows_that_attempt(
    redis: Redis, failed_before: bool, waits: bool
) -> None:
    it = Attempted(redis)
    if failed_before:
        redis.zadd(keys.FAILED, {TICK: NOW})
        redis.expire(keys.FAILED, 60)
    else:
        before = write_record(TICK, Result("missed", "no_catchup"), Attempt(0, None, NOW, None))
        redis.zadd(keys.ACCOUNT_PREFIX + "7", {before: NOW})
    redis.hset(keys.OPEN, TICK, "r|1|hr|w#1")
    it.claim.state = State.parse("r|1|hr|w#1")
    if waits:
        it.fail()
        it.ledger.finish(NOW + 2, [_stopped(it)])
    else:
        it.ledger.stop([TICK], "cancelled|")
        it.fail()
    found = queries.describe_run(redis, TICK)
    assert found
    if failed_before:
        # What is known of the failure stays, and it stays in the dead list.
        assert redis.zscore(keys.FAILED, TICK) == NOW
        assert found["status"] == "failed"
    else:
        assert (found["status"], found["reason"]) == ("skipped", "cancelled")
        assert [attempt["error"] for attempt in found["attempts"]] == ["HTTP 503"]


def _stopped(it: Attempted) -> Outcome:
    """Return the end of a run that waits for its next attempt when somebody cancels it."""
    it.ledger.stop([TICK], "cancelled|")
    (outcome,) = decide_overdue(it.ledger.overdue(NOW + 2, 10), NOW + 2, Settings()).close
    return outcome


@pytest.mark.parametrize("verdict", ["skipped", "ok"])
def test_only_success_takes_a_run_out_of_the_dead_list(redis: Redis, verdict: str) -> None:
    it = Attempted(redis, retry={"max_attempts": 1})

    def end(claim: Claim, result: Result) -> None:
        run, by = Run(it.job, TICK, NOW, 1), Attempt(1, NOW, NOW + 1, "w")
        it.ledger.finish(NOW + 1, [conclude(run, claim, result, by, Settings(), 0.5)])

    end(it.claim, Result("failed", error="HTTP 500", final=True))
    it.ledger.open([TICK], NOW + 2, again=True)
    (claim,) = it.ledger.claim("w#2", NOW + 2, [TICK])
    if verdict == "skipped":
        end(claim, Result("skipped", "overlap", other="another"))
        assert it.record()[:3] == ("failed", None, "HTTP 500")
        # Who waits for it hears that it was skipped.
        assert (last := queries.find_last_end(redis, TICK))
        assert (last["status"], last["reason"]) == ("skipped", "overlap")
        assert [run["status"] for run in queries.list_ended(redis, "7", "failed")] == ["failed"]
    else:
        end(claim, Result("ok"))
        assert it.record()[0] == "ok"
    assert (redis.zscore(keys.FAILED, TICK) is None) == (verdict == "ok")


def test_live_a_cancel_counts_whatever_the_service_asks_for(
    redis: Redis, rest: RestServer, celery: Celery, cli: CommandLine
) -> None:
    """The server's log shows one request for each run, and none afterwards."""
    asked, answer = threading.Event(), threading.Event()

    with RestServer() as target:

        def hold(handler: Any) -> bool:
            asked.set()
            answer.wait(PATIENCE)
            return reply(503, Retry_After="3600")(handler)

        target.answer = hold
        # No tick comes, even if an hour begins.
        row = {name: value for name, value in ROW.items() if name != "cron_expression"} | NEVER_DUE
        action = {"type": "http", "url": target.url + "/do"}
        rest.jobs = [row | {"action": action, "chat_id": 100}]
        celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
        celery.worker(2)
        celery.beat()
        wait_until(lambda: Registry(redis).count() == 1, "the first sync")
        first = cli.run("jobs", "run", "7").stdout.strip()
        assert asked.wait(PATIENCE)
        cli.run("runs", "cancel", first)
        answer.set()
        wait_until(lambda: not redis.exists(keys.OPEN), "the end of the run")
        found = queries.find_end(redis, RunId.stored(first))
        assert found
        assert (found["status"], found["reason"]) == ("skipped", "cancelled")
        assert len(target.requests) == 1

        # What a person starts runs, on a paused and on a disabled job.
        target.answer = reply(200)
        cli.run("jobs", "pause", "7", "--reason", "stocktaking")
        cli.run("jobs", "run", "7", "--wait", code=0)
        assert len(target.requests) == 2
        rest.jobs = [rest.jobs[0] | {"enabled": False}]
        cli.run("sync")
        cli.run("jobs", "run", "7", "--wait", code=0)
        assert len(target.requests) == 3


@pytest.mark.parametrize("missed_until", [NOW, NOW + 3600])
@pytest.mark.parametrize("status", ["ok", "failed"])
def test_a_missed_tick_that_is_run_by_hand_has_one_outcome_everywhere(
    redis: Redis, missed_until: float, status: Any
) -> None:
    from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
    from cron_tasks.audit.explain import explain_tick
    from cron_tasks.ledger.records import Advance
    from cron_tasks.runs.outcomes import write_record

    it = Attempted(redis, retry={"max_attempts": 1})
    redis.delete(keys.OPEN, keys.DEADLINES, keys.GOING)
    redis.set(keys.LEADER_LOCK, "me", ex=60)
    key = keys.entry_key("7")
    redis.zadd(keys.SCHEDULE, {key: NOW})
    by = Attempt(0, None, NOW + 9, None)
    line = write_record(TICK, Result("missed", "coalesced"), by, missed_until)
    edits = int(redis.get(keys.EDITS) or 0)
    step = Advance(key, repr(NOW), NOW + 7200, "{}", (), "7", line)
    it.ledger.advance("me", NOW + 9, [step], edits)
    it.ledger.open([TICK], NOW + 10, again=True)
    (claim,) = it.ledger.claim("w#2", NOW + 10, [TICK])
    run, by = Run(it.job, TICK, NOW, 1), Attempt(1, NOW + 10, NOW + 11, "w")
    error = "HTTP 500" if status == "failed" else None
    result = Result(status, error=error, final=True)
    it.ledger.finish(NOW + 11, [conclude(run, claim, result, by, Settings(), 0.5)])
    found = queries.find_end(redis, TICK)
    assert found
    assert found["status"] == status
    (account,) = read_accounts(redis, ["7"], days_between(NOW, NOW), read_open_ticks(redis))
    history = {run["run_id"]: run for run in queries.list_ended(redis, "7") if "until" not in run}
    assert explain_tick(account, history, NOW, NOW + 20, "UTC").status == status
