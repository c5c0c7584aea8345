"""Suppressed notifications, and the end of a run after a promised retry."""

import json
from typing import Any

import pytest
from driven import Beat
from helpers import NEVER_DUE, wait_until
from processes import Celery
from redis import Redis
from rest_server import Handler, RestServer, reply, status
from stage import NOW, TICK, Stage

from cron_tasks.ledger.run_id import RunId
from cron_tasks.store import keys

HOUR = 3600.0


@pytest.fixture(autouse=True)
def failing(rest: RestServer) -> None:
    rest.answer = status(503)


@pytest.mark.parametrize(("late", "events"), [(59, ["retry"]), (61, [])])
def test_a_retry_that_is_too_old_is_not_told(
    redis: Redis, rest: RestServer, late: float, events: list[str]
) -> None:
    stage = Stage(redis, rest, notify={"on": ["retry", "failure"], "stale_after": 60})
    stage.fire()
    stage.now += late
    stage.fails()
    assert (stage.events, stage.asked) == (events, 1)


@pytest.mark.parametrize(("stale_after", "events"), [(60, []), (90, ["missed"])])
def test_missed_ticks_are_as_old_as_the_last_of_them(
    beat: Beat, redis: Redis, stale_after: float, events: list[str]
) -> None:
    start = beat.clock.now = beat.clock.now // 60 * 60
    row = {"id": 7, "name": "Nightly report", "every": 60, "catchup": {"policy": "none"}}
    beat.register(row | {"notify": {"on": ["missed"], "stale_after": stale_after}})
    beat.clock.now = start + 190  # those of 60 and 120 are missed, that of 180 is on time
    beat.tick()
    assert beat.fired() == {"7": [start + 180]}
    told = [json.loads(line) for line in redis.lrange("queue:to_telegram", 0, -1)]
    assert [message["event"] for message in told] == events
    record = json.loads(redis.lindex(keys.HISTORY_PREFIX + "7", 0))
    assert record.get("untold") == (None if events else "too old")
    assert (record["attempt"], record["status"]) == (0, "missed")


def cancelled(stage: Stage) -> None:
    stage.ledger.stop([TICK], "cancelled|")
    stage.sweep()


def replaced(stage: Stage) -> None:
    stage.ledger.stop([TICK], f"replaced|{RunId('7', NOW + HOUR)}")
    stage.sweep()


def paused(stage: Stage) -> None:
    stage.registry.pause("7", "stocktaking", stage.now)
    stage.ledger.look_after({"7"}, stage.now)
    stage.sweep()


def disabled(stage: Stage) -> None:
    stage.edit(stage.now, enabled=False)
    stage.sweep()
    stage.run()


def discarded(stage: Stage) -> None:
    for _ in range(9):
        stage.sweep()


def removed(stage: Stage) -> None:
    stage.remove()
    stage.ledger.look_after({"7"}, stage.now)
    stage.sweep()


def claimed_when_removed(stage: Stage) -> None:
    stage.sweep()
    stage.remove()
    stage.run()


def succeeded(stage: Stage) -> None:
    stage.rest.answer = reply(200)
    stage.sweep()
    stage.run()


def failed(stage: Stage) -> None:
    for _ in range(2):
        stage.sweep()
        stage.run()


BROKEN = "answered 503 Service Unavailable"
ENDS: list[tuple[Any, str, int, int, str]] = [
    (cancelled, "skipped", 1, 1, "skipped: somebody cancelled it while it waited for attempt 2"),
    (replaced, "skipped", 1, 1, "skipped: a later run took its place while it waited for attempt 2 "
                                f"({RunId('7', NOW + HOUR)})"),
    (paused, "failure", 1, 1, BROKEN),
    (disabled, "failure", 1, 1, BROKEN),
    (discarded, "failure", 1, 1, BROKEN),
    (removed, "skipped", 1, 1, "skipped: the job was removed while the run waited for attempt 2"),
    (claimed_when_removed, "skipped", 1, 1,
     "skipped: the job was removed while the run waited for attempt 2"),
    (succeeded, "success", 2, 2, ""),
    (failed, "failure", 3, 3, BROKEN),
]  # fmt: skip


@pytest.mark.parametrize(("end", "event", "attempts", "asked", "error"), ENDS)
@pytest.mark.parametrize("collapse", [1, 5])
def test_the_end_of_a_run_that_was_to_be_tried_again_is_told(
    redis: Redis,
    rest: RestServer,
    end: Any,
    event: str,
    attempts: int,
    asked: int,
    error: str,
    collapse: int,
) -> None:
    """The job wants no notification of an end, and the end is late."""
    on = {"on": ["retry"], "stale_after": 60, "collapse": collapse, "queue": "queue:mine"}
    stage = Stage(redis, rest, notify=on)
    redis.hset(keys.FAILING, "7", 1)
    stage.fire()
    stage.fails()
    stage.now += HOUR
    end(stage)
    assert redis.hgetall(keys.OPEN) == {}
    first, last = (json.loads(line) for line in redis.lrange("queue:mine", 0, -1))
    assert (first["event"], first["id"]) == ("retry", f"{TICK}/retry/1")
    assert (last["event"], last["id"]) == (event, f"{TICK}/{event}")
    assert (last["chat_id"], last["job_name"]) == (7, "Nightly report")
    assert last["attempt"] == attempts
    assert last.get("error", "").endswith(error)
    assert stage.asked == asked
    assert stage.told == []
    shown = stage.shown()
    assert [each["attempt"] for each in shown["attempts"]] == list(range(1, attempts + 1))
    assert "announced" not in json.dumps(shown)
    assert "untold" not in shown


def test_nobody_is_told_of_an_end_that_nobody_waits_for(redis: Redis, rest: RestServer) -> None:
    stage = Stage(redis, rest, notify={"on": []})
    stage.fire()
    stage.fails()
    removed(stage)
    assert stage.told == []
    assert stage.shown()["because"].endswith("while the run waited for attempt 2")


def test_a_trace_of_an_earlier_version_is_read(redis: Redis, rest: RestServer) -> None:
    stage = Stage(redis, rest, notify={"on": ["retry"]})
    before = {"attempt": 1, "started_at": NOW, "finished_at": NOW + 1, "worker": "w", "error": "x"}
    stage.fire()
    redis.hset(keys.OPEN, TICK, "w|2||")
    redis.hset(keys.ATTEMPTS, TICK, json.dumps([before]))
    assert stage.shown()["attempts"][0]["error"] == "x"
    paused(stage)
    assert stage.told == []
    assert (stage.shown()["status"], stage.shown()["error"]) == ("failed", "x")


def test_what_was_kept_back_does_not_count(redis: Redis, rest: RestServer) -> None:
    """A failure that was too old to notify is not the first one of a streak."""
    notify = {"on": ["failure", "recovered"], "stale_after": 60, "collapse": 5}
    stage = Stage(redis, rest, notify=notify, retry={"max_attempts": 1})

    def ends(number: int, late: float, answer: int) -> list[str]:
        rest.answer = status(answer)
        stage.now = NOW + number * HOUR + late
        stage.run(stage.fire(NOW + number * HOUR))
        return [f"{each['event']} {each['run_id'][-9:-7]}" for each in stage.told]

    assert ends(1, 100, 503) == []
    assert redis.hget(keys.FAILING, "7") == "1"
    assert ends(2, 1, 200) == []
    assert ends(3, 100, 503) == []
    assert ends(4, 1, 503) == ["failure 12"]
    assert ends(5, 1, 503) == ["failure 12"]
    assert redis.hget(keys.FAILING, "7") == "3"
    assert ends(6, 100, 200) == ["failure 12"]
    assert not redis.exists(keys.FAILING)
    assert ends(7, 1, 503) == ["failure 12", "failure 15"]
    assert ends(8, 100, 200)[2:] == []
    assert ends(9, 1, 200)[2:] == ["recovered 17"]
    assert ends(10, 1, 200)[3:] == []
    assert not redis.exists(keys.FAILING, keys.UNTOLD)
    assert stage.asked == 10


@pytest.mark.parametrize("late", [1, 100])
def test_a_recovery_follows_failures_that_nobody_wants_to_be_told_of(
    redis: Redis, rest: RestServer, late: float
) -> None:
    stage = Stage(
        redis,
        rest,
        notify={"on": ["recovered"], "stale_after": 60},
        retry={"max_attempts": 1},
    )
    stage.now += late
    stage.run(stage.fire())
    rest.answer = reply(200)
    stage.now = NOW + HOUR + 1
    stage.run(stage.fire(NOW + HOUR))
    assert stage.events == ["recovered"]


def test_what_was_kept_back_goes_with_the_job(redis: Redis, rest: RestServer) -> None:
    notify = {"stale_after": 60}
    stage = Stage(redis, rest, notify=notify, retry={"max_attempts": 1})
    stage.now += 61
    stage.run(stage.fire())
    assert redis.hgetall(keys.UNTOLD) == {"7": "1"}
    stage.remove()
    assert not redis.exists(keys.FAILING, keys.UNTOLD)


def test_a_run_of_a_disabled_job_that_never_began_is_skipped(
    redis: Redis, rest: RestServer
) -> None:
    stage = Stage(redis, rest)
    stage.fire()
    stage.edit(stage.now, enabled=False)
    assert stage.run() == "skipped"
    assert stage.asked == 0


def test_the_end_is_told_of_a_job_that_is_removed_meanwhile(
    redis: Redis, celery: Celery, rest: RestServer
) -> None:
    """With real processes: the service sees one request, and the bot a promise and an end."""

    def answer(handler: Handler) -> bool:
        return handler.path == "/hook" and status(503)(handler)

    def told() -> list[dict[str, Any]]:
        return [json.loads(line) for line in redis.lrange("queue:mine", 0, -1)]

    action = {"type": "http", "url": f"{rest.url}/hook"}
    row = {"id": "a", "name": "Nightly report", "every": 2, "action": action, "chat_id": 7}
    row["notify"] = {"on": ["retry"], "queue": "queue:mine"}
    # With the longest waits that there are, no second attempt comes.
    row["retry"] = {"max_attempts": 2, "backoff": 604_800, "max_backoff": 604_800}
    rest.jobs, rest.answer = [row, {"id": "b", "name": "Another", **NEVER_DUE}], answer
    celery.worker(2, CRON_TASKS_HTTP_ALLOW="127.0.0.1")
    celery.beat(CRON_TASKS_HTTP_ALLOW="127.0.0.1")
    wait_until(told, "the promise")
    rest.jobs = rest.jobs[1:]
    redis.lpush(keys.POKE, "*")
    wait_until(lambda: not redis.exists(keys.ATTEMPTS), "the end of what waited")
    promised, *others = told()
    assert promised["event"] == "retry"
    runs = {message["run_id"]: message for message in others if message["event"] == "skipped"}
    end = runs[promised["run_id"]]
    assert (end["chat_id"], end["attempt"]) == (7, 1)
    assert end["response"] == (
        f"⏭️ Nightly report was skipped ({end['scheduled_for'][11:16]}): "
        "the job was removed while the run waited for attempt 2"
    )
    assert len({message["id"] for message in told()}) == len(told())
    assert len([path for _, path, _ in rest.requests if path == "/hook"]) == 1
