"""The recorded attempts of a run are those that the server saw."""

import json
import re
import threading
from typing import Any

import pytest
from command_line import Quick
from helpers import PATIENCE, wait_until
from redis import Redis
from rest_server import Handler, RestServer, status
from stage import NOW, TICK, Stage
from test_promises import cancelled, disabled, discarded, paused, removed, replaced

from cron_tasks.ledger.records import shorten_record
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.shapes import read_record
from cron_tasks.store import keys

EVERY = ["success", "failure", "skipped", "missed"]
LATER = RunId("7", NOW + 3600)


def too_late(stage: Stage) -> None:
    stage.now = NOW + 3601
    stage.run()


def found_too_late(stage: Stage) -> None:
    stage.now = NOW + 3601
    stage.sweep()


def claimed_when_disabled(stage: Stage) -> None:
    stage.edit(stage.now, enabled=False)
    stage.run()


def in_the_way(stage: Stage) -> None:
    """Put another run of the job in flight."""
    other = stage.fire(NOW - 3600)
    stage.ledger.claim("w#9", stage.now, [other])
    stage.run()
    stage.redis.delete(keys.OPEN, keys.DEADLINES, keys.GOING)


NEVER: list[tuple[Any, str, str]] = [
    (cancelled, "skipped", "somebody cancelled it before it could start"),
    (replaced, "skipped", "a later run took its place before it could start"),
    (paused, "skipped", "the job was paused before it could start"),
    (claimed_when_disabled, "skipped", "the job was disabled before it could start"),
    (removed, "skipped", "the job was removed before it could start"),
    (in_the_way, "skipped", "another run of the job was still running"),
    (too_late, "missed", "it could not start within its catch-up window"),
    (found_too_late, "missed", "it could not start within its catch-up window"),
]


@pytest.mark.parametrize(("end", "became", "because"), NEVER)
def test_a_run_that_never_began_has_no_attempt(
    redis: Redis, rest: RestServer, end: Any, became: str, because: str
) -> None:
    stage = Stage(redis, rest, notify={"on": EVERY})
    stage.fire()
    end(stage)
    shown = stage.shown()
    assert (shown["status"], shown["attempt"], shown["attempts"]) == (became, 0, [])
    assert (shown["started_at"], shown["worker"]) == (None, None)
    assert shown["because"] == because
    assert stage.asked == 0
    for message in stage.told:
        assert (message["attempt"], message["event"]) == (0, became)
        assert because in message["response"]
    assert len(stage.told) == (end != removed)
    if end != in_the_way:
        assert because.removeprefix("a later run ") in stage.why()


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize(
    ("end", "became", "said"),
    [
        (cancelled, "skipped", "somebody cancelled it while it waited for attempt {}"),
        (removed, "skipped", "the job was removed while the run waited for attempt {}"),
        (replaced, "skipped", "took its place while it waited for attempt {}"),
        (paused, "failed", "it was not retried because the job was paused"),
        (disabled, "failed", "it was not retried because the job was disabled"),
        (discarded, "failed", "it was not retried because workers discarded its message"),
    ],
)
def test_a_run_that_ends_before_its_next_attempt_has_those_before(
    redis: Redis, rest: RestServer, end: Any, became: str, said: str, failures: int
) -> None:
    rest.answer = status(503)
    stage = Stage(redis, rest, notify={"on": EVERY})
    stage.fire()
    stage.fails(failures)
    end(stage)
    shown = stage.shown()
    assert (shown["status"], shown["attempt"]) == (became, failures)
    assert [each["attempt"] for each in shown["attempts"]] == list(range(1, failures + 1))
    assert all("503" in each["error"] for each in shown["attempts"])
    assert ("503" in (shown["error"] or "")) == (became == "failed")
    assert stage.asked == failures
    said = said.format(failures + 1)
    assert said in stage.why()
    if became == "skipped":
        assert shown["because"].endswith(said.removeprefix("took"))
    for message in stage.told:
        assert message["attempt"] == failures


@pytest.mark.parametrize("reason", ["cancelled", "replaced"])
@pytest.mark.parametrize("failures", [0, 1])
def test_an_attempt_that_was_cut_off_was_made(
    redis: Redis, rest: RestServer, reason: str, failures: int
) -> None:
    rest.answer = status(503)
    stage = Stage(redis, rest, notify={"on": EVERY})
    stage.fire()
    stage.fails(failures)
    stage.sweep()
    over = threading.Event()

    def stop(_: Handler) -> bool:
        stage.ledger.stop([TICK], f"{reason}|" + LATER * (reason == "replaced"))
        return over.wait(PATIENCE)

    rest.answer = stop
    stage.run()
    over.set()
    shown = stage.shown()
    assert (shown["status"], shown["attempt"]) == ("skipped", failures + 1)
    assert [each["attempt"] for each in shown["attempts"]] == list(range(1, failures + 2))
    assert shown["started_at"] is not None
    assert shown["because"].endswith(" while it ran")
    (told,) = stage.told
    assert told["error"].partition(" (")[0].endswith(" while it ran")
    assert told["attempt"] == failures + 1
    wait_until(lambda: stage.asked == failures + 1, "the requests")
    if reason == "cancelled":
        assert stage.why().endswith("skipped: somebody cancelled it while it ran")


def test_runs_show_says_when_it_ended(redis: Redis, rest: RestServer, quick: Quick) -> None:
    rest.answer = status(503)
    stage = Stage(redis, rest)
    stage.fire()
    stage.fails(2)
    cancelled(stage)
    text = quick.run("runs", "show", TICK).stdout
    assert re.search(r"^attempt +2$", text, re.M)
    assert re.search(r"^because +somebody cancelled it while it waited for attempt 3$", text, re.M)
    assert re.findall(r"^(\d) .*answered 503", text, re.M) == ["1", "2"]
    (listed,) = quick.json("runs", "7")
    assert (listed["attempt"], listed["reason"]) == (2, "cancelled")


def test_a_worker_that_died_in_an_attempt_made_it(redis: Redis, rest: RestServer) -> None:
    stage = Stage(redis, rest, notify={"on": EVERY}, retry={"max_attempts": 1})
    stage.fire()
    stage.ledger.claim("w/1#0", stage.now, [TICK])
    stage.sweep()
    shown = stage.shown()
    assert (shown["status"], shown["attempt"], shown["worker"]) == ("failed", 1, "w/1")
    assert [each["error"] for each in shown["attempts"]] == ["its worker died"]


def test_a_run_stopped_before_its_task_was_sent_made_no_attempt(
    redis: Redis, rest: RestServer
) -> None:
    stage = Stage(redis, rest)
    document = json.loads(redis.hget(keys.entry_key("7"), "job"))
    document["action"] = {"type": "task", "name": "other.add"}
    redis.hset(keys.entry_key("7"), "job", json.dumps(document))
    stage.fire()
    redis.hset(keys.STOP, TICK, "cancelled|")
    redis.expire(keys.STOP, 60)
    assert stage.run() == "skipped"
    assert (stage.shown()["attempt"], stage.shown()["attempts"]) == (0, [])


def test_a_record_of_an_earlier_version_says_no_moment() -> None:
    old = {"run_id": TICK, "scheduled_for": "x", "status": "skipped", "reason": "cancelled"}
    old |= {"attempt": 1, "started_at": None, "finished_at": NOW, "worker": None, "error": None}
    line = json.dumps(old)
    assert read_record(line)["because"] == "somebody cancelled it"
    new = json.dumps(old | {"tried": 0, "attempt": 0})
    assert read_record(shorten_record(new.encode()).decode())["because"].endswith(
        "before it could start"
    )


def test_a_run_that_was_to_be_done_again_when_its_job_was_removed_ended_as_before(
    redis: Redis, rest: RestServer
) -> None:
    stage = Stage(redis, rest)
    stage.fire()
    cancelled(stage)
    stage.ledger.open([TICK], stage.now, again=True)
    removed(stage)
    assert (stage.shown()["status"], stage.shown()["reason"]) == ("skipped", "cancelled")
    assert "somebody cancelled it" in stage.why()
