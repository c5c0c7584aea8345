"""The notifications for the bot: events, streaks, and queues that nobody reads."""

import json
from typing import Any

import pytest
from applying import apply
from redis import Redis

from cron_tasks.beat.due import judge_page, read_page
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Message, Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.registry.plan import Policy, plan_changes
from cron_tasks.runs.notifications import write_notification
from cron_tasks.runs.outcomes import conclude
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings
from cron_tasks.store import keys

NOW = 1_800_000_000.0
QUEUE = "queue:to_telegram"
OK, FAILED = Result("ok"), Result("failed", error="broken", final=True)


class Teller:
    """Ends the runs of one job, a second after another, with given results."""

    def __init__(self, redis: Redis, settings: Settings, **fields: Any) -> None:
        self.redis, self.settings = redis, settings
        self.ledger = Ledger(redis, settings)
        row = {"id": 7, "name": "Water the plants", "every": 1, **fields}
        apply(redis, plan_changes({}, [("row 1", row)], Policy()), NOW)
        job = validate_row(row, timezone="UTC")
        assert isinstance(job, Job)
        self.job, self.tick = job, NOW

    def end(self, result: Result, late: float = 0) -> str:
        self.tick += 1
        name, now = RunId("7", self.tick), self.tick + late
        self.redis.hset(keys.OPEN, name, "p|1||")
        self.redis.zadd(keys.DEADLINES, {name: now})
        (claim,) = self.ledger.claim("w", now, [name])
        run = Run(self.job, name, self.tick, claim.attempt)
        outcome = conclude(run, claim, result, Attempt(1, now, now, "w"), self.settings, 0.5)
        assert self.ledger.finish(now, [outcome]) == [name]
        assert self.ledger.finish(now, [outcome]) == []
        return name

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.redis.lrange(QUEUE, 0, -1)]

    def events(self) -> list[str]:
        return [message["event"] for message in self.told()]


@pytest.mark.parametrize(
    ("on", "results", "events"),
    [
        (None, [OK, FAILED, Result("skipped", "overlap")], ["success", "failure"]),
        (["failure"], [OK, FAILED, OK], ["failure"]),
        (["failure", "recovered"], [OK, FAILED, FAILED, OK, OK], ["failure"] * 2 + ["recovered"]),
        (["recovered"], [OK, FAILED, Result("skipped", "overlap"), OK], ["recovered"]),
        (["skipped"], [Result("skipped", "x"), Result("missed", "y")], ["skipped"]),
        (["missed"], [Result("skipped", "x"), Result("missed", "y")], ["missed"]),
        ([], [OK, FAILED], []),
    ],
)  # fmt: skip
def test_events(
    redis: Redis, on: list[str] | None, results: list[Result], events: list[str]
) -> None:
    teller = Teller(redis, Settings(), **({} if on is None else {"notify": {"on": on}}))
    for result in results:
        teller.end(result)
    assert teller.events() == events
    assert len({message["id"] for message in teller.told()}) == len(events)


def test_a_message_says_what_the_contract_says(redis: Redis) -> None:
    teller = Teller(redis, Settings(chat_id=100), notify={"on": ["success", "failure", "skipped"]})
    run = teller.end(OK)
    teller.end(FAILED)
    teller.end(Result("skipped", "overlap", other=run))
    ok, failed, skipped = teller.told()
    assert ok == {
        "chat_id": 100,
        "response": "Scheduled task: Water the plants",
        "status": "success",
        "id": f"{run}/success",
        "job_id": "7",
        "job_name": "Water the plants",
        "run_id": run,
        "event": "success",
        "scheduled_for": "2027-01-15T08:00:01Z",
        "created_at": "2027-01-15T08:00:01.000Z",
        "attempt": 1,
    }
    assert (failed["status"], failed["error"]) == ("error", "broken")
    assert failed["response"] == "❌ Water the plants failed (08:00): broken"
    still_going = f"skipped: another run of the job was still running ({run})"
    skipped_text = (
        f"⏭️ Water the plants was skipped (08:00): {still_going.removeprefix('skipped: ')}"
    )
    assert skipped["response"] == skipped_text
    assert skipped["error"] == still_going


def test_repeated_failures_are_told_first_and_every_nth(redis: Redis) -> None:
    notify = {"on": ["failure", "recovered"], "collapse": 3}
    teller = Teller(redis, Settings(), notify=notify)
    runs = [teller.end(FAILED) for _ in range(7)]
    teller.end(OK)
    teller.end(FAILED)
    told = [message["run_id"] for message in teller.told()]
    assert told[:3] == [runs[0], runs[2], runs[5]]
    assert teller.events() == ["failure"] * 3 + ["recovered", "failure"]
    assert redis.hgetall(keys.FAILING) == {"7": "1"}


def test_what_is_too_old_to_be_useful_is_recorded_and_not_told(redis: Redis) -> None:
    teller = Teller(redis, Settings(), notify={"stale_after": 60})
    teller.end(OK, late=59)
    stale = teller.end(OK, late=61)
    assert len(teller.told()) == 1
    record = json.loads(teller.ledger.history("7")[0])
    assert (record["run_id"], record["untold"]) == (stale, "too old")


@pytest.mark.parametrize("transport", ["list", "stream"])
def test_a_queue_that_nobody_reads_is_bounded(redis: Redis, transport: str) -> None:
    settings = Settings(notify_transport=transport, notify_max=3)
    teller = Teller(redis, settings)
    runs = [teller.end(OK) for _ in range(5)]
    if transport == "list":
        kept = [message["run_id"] for message in teller.told()]
    else:
        kept = [json.loads(fields["data"])["run_id"] for _, fields in redis.xrange(QUEUE)]
    assert kept == runs[2:]
    assert redis.hgetall(keys.DROPPED) == {QUEUE: "2"}


@pytest.mark.parametrize("transport", ["list", "stream"])
def test_a_queue_of_another_type_loses_no_message(redis: Redis, transport: str) -> None:
    teller = Teller(redis, Settings(notify_transport=transport))
    redis.set(QUEUE, "somebody's", ex=60)
    run = teller.end(OK)
    (kept,) = redis.lrange(keys.UNDELIVERABLE, 0, -1)
    queue, _, message = kept.partition(" ")
    assert (queue, json.loads(message)["run_id"]) == (QUEUE, run)


def test_missed_ticks_are_told_as_one(redis: Redis) -> None:
    teller = Teller(redis, Settings(), notify={"on": ["missed"]})
    redis.set(keys.LEADER_LOCK, "me", ex=60)
    now = NOW + 100
    page = read_page(redis, now)
    (advance,) = judge_page(page, now, Settings()).advances
    teller.ledger.advance("me", now, [advance], page.edits)
    (told,) = teller.told()
    assert told["run_id"] == RunId("7", NOW + 1)
    until, _, why = told["error"].partition(": ")
    assert until == f"missed until {RunId('', NOW + 84)[1:]}"
    assert why.startswith("several ticks had been missed")


def test_a_template_that_fails_gives_way_to_the_plain_text() -> None:
    job = validate_row(
        {"id": 7, "name": "x", "every": 1, "notify": {"template": "$name"}}, timezone="UTC"
    )
    assert isinstance(job, Job)
    newer = job.model_copy(update={"notify": job.notify.model_copy(update={"template": "$colour"})})
    message = write_notification(Run(newer, "7@x", NOW, 1), "success", None, NOW, Settings())
    response = json.loads(message.payload)["response"]
    assert response == "Scheduled task: x (without its template, which failed: 'colour')"


def test_a_run_done_again_tells_its_end_again(redis: Redis) -> None:
    teller = Teller(redis, Settings())
    run = teller.end(FAILED)
    assert teller.ledger.open([run], teller.tick + 9, again=True) == [run]
    (claim,) = teller.ledger.claim("w", teller.tick + 9, [run])
    by = Attempt(1, NOW, NOW + 30, "w")
    outcome = conclude(Run(teller.job, run, teller.tick, 1), claim, FAILED, by, Settings(), 0.5)
    teller.ledger.finish(NOW + 30, [outcome])
    first, second = teller.told()
    assert (first["id"], second["id"]) == (
        f"{run}/failure",
        f"{run}/failure/2027-01-15T08:00:30.000Z",
    )


def test_a_message_is_no_part_of_an_outcome_that_came_too_late(redis: Redis) -> None:
    teller = Teller(redis, Settings())
    outcome = Outcome(RunId("7", NOW), "7", State.parse("r|1||w"), b"{}", [Message(QUEUE, b"{}")])
    assert teller.ledger.finish(NOW, [outcome]) == []
    assert teller.told() == []
