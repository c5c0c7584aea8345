"""Delegated runs, step by step. test_task_action.py has the same with real processes."""

import json
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from celery import Celery
from helpers import PATIENCE, wait_until
from kombu.exceptions import OperationalError
from processes import Valkey
from redis import Redis

from cron_tasks.beat.sweeper import sweep_overdue
from cron_tasks.jobs.actions import TaskAction
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.jobs.routing import routing_options
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.ledger import LEASE, Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.runs.result import Result
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.worker import delegation
from cron_tasks.worker.delegation import Handed, describe_task_error
from cron_tasks.worker.runner import Runner

NOW = 1_800_000_000.0
TICK = RunId("7", NOW)
SETTINGS = Settings(tasks_allow=("other.*",))
OK = Result("ok", output="well")


def task_job(**fields: Any) -> Job:
    row = {"id": 7, "name": "x", "every": 60, "timeout": 30, "queue": "other", "priority": 3}
    job = validate_row(
        row | {"action": {"type": "task", "name": "other.add"}} | fields,
        timezone="UTC",
        permissions=Permissions(("*",)),
    )
    assert isinstance(job, Job)
    return job


class Bench:
    """A runner and a sweeper that share a ledger, a clock, and a list of sent messages."""

    def __init__(self, redis: Redis, **fields: Any) -> None:
        self.redis = redis
        self.now = NOW
        self.ledger = Ledger(redis, SETTINGS)
        self.sent: list[tuple[str, Handed]] = []
        self.revoked: list[str] = []
        self.runner = Runner(
            self.ledger, Registry(redis), SETTINGS, "w", lambda: self.now, self.send
        )
        redis.hset(keys.entry_key("7"), "job", task_job(**fields).to_document())

    def send(self, job: Job, action: TaskAction, task_id: str, handed: Handed) -> None:
        self.sent.append((task_id, handed))

    def run(self, again: bool = False) -> str:
        self.ledger.open([TICK], self.now, again)
        return self.runner.run([TICK]).get(TICK, "")

    def sweep(self, waiting: int = 0) -> None:
        sweep_overdue(
            self.ledger,
            self.now,
            SETTINGS,
            lambda _: waiting,
            lambda _: None,
            self.revoked.extend,
        )

    @property
    def records(self) -> list[tuple[str, str | None]]:
        """(status, reason or error or output) of past runs, newest first."""
        found = map(json.loads, self.ledger.history("7"))
        return [
            (line["status"], line["reason"] or line["error"] or line.get("output"))
            for line in found
        ]


@pytest.fixture
def bench(redis: Redis) -> Callable[..., Bench]:
    return lambda **fields: Bench(redis, **fields)


def test_the_message_that_starts_the_run_goes_to_our_queue() -> None:
    assert routing_options(task_job()) == {"priority": 3}
    assert routing_options(task_job(action={"type": "notify"})) == {"queue": "other", "priority": 3}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("other.add", True),
        ("others.add", False),
        ("cron_tasks.task_done", False),
        ("celery.map", False),
    ],
)
def test_which_tasks_jobs_may_call(name: str, allowed: bool) -> None:
    assert Permissions(("other.*",)).allows_task(name) == allowed
    assert Permissions(("*",)).allows_task(name) == (name.startswith("other"))
    assert not Permissions().allows_task(name)


def test_a_run_waits_for_its_task_without_a_worker(bench: Callable[..., Bench]) -> None:
    world = bench()
    assert world.run() == "handed over"
    ((task_id, handed),) = world.sent
    assert task_id.startswith(f"{TICK}#1-")
    assert handed == Handed(TICK, f"r|1|h|task:{task_id}", NOW)
    assert world.run() == ""
    world.now += 20
    world.sweep()
    assert (world.records, world.revoked) == ([], [])
    assert world.runner.end(handed, OK, "there") == "ok"
    assert world.runner.end(handed, OK, "there") == "was no longer waiting"
    assert world.records == [("ok", "well")]
    assert not world.redis.exists(keys.OPEN, keys.DEADLINES)


def test_an_outcome_that_comes_too_late_changes_nothing(bench: Callable[..., Bench]) -> None:
    world = bench(retry={"max_attempts": 2, "backoff": 0})
    world.run()
    world.now += 31
    world.sweep()
    (first, late) = world.sent[0]
    assert world.revoked == [first]
    assert world.runner.end(late, OK, None) == "was no longer waiting"
    world.sweep()
    assert world.runner.run([TICK]) == {TICK: "handed over"}
    assert world.runner.end(late, OK, None) == "was no longer waiting"
    second, handed = world.sent[1]
    assert second.startswith(f"{TICK}#2-")
    assert world.runner.end(handed, Result("failed", error="no"), None) == "failed"
    (line,) = world.ledger.history("7")
    (attempt,) = json.loads(line)["attempts"]
    assert attempt["error"] == "no outcome of task other.add within 30 s"


def test_a_run_done_again_is_not_ended_by_the_one_before(bench: Callable[..., Bench]) -> None:
    world = bench()
    for _ in range(2):
        world.run(again=True)
        world.now += 31
        world.sweep()
    world.run(again=True)
    assert world.runner.end(world.sent[1][1], OK, None) == "was no longer waiting"
    assert world.runner.end(world.sent[2][1], OK, None) == "ok"


def test_an_outcome_may_still_wait_in_our_queue(bench: Callable[..., Bench]) -> None:
    world = bench()
    world.run()
    world.now += 31
    world.sweep(waiting=1)
    assert len(world.revoked) == 1
    assert world.redis.zscore(keys.DEADLINES, TICK) == world.now + LEASE
    assert world.runner.end(world.sent[0][1], OK, None) == "ok"


def test_one_that_is_stopped_does_not_wait_for_its_outcome(bench: Callable[..., Bench]) -> None:
    world = bench(overlap="replace")
    world.run()
    other = RunId("7", NOW + 60)
    world.ledger.open([other], NOW)
    assert world.runner.run([other]) == {}
    world.sweep(waiting=1)
    assert world.revoked == [world.sent[0][0]]
    assert world.records == [("skipped", "replaced")]


def test_one_that_is_stopped_before_its_task_is_sent(bench: Callable[..., Bench]) -> None:
    world = bench()
    world.redis.hset(keys.STOP, TICK, "cancelled|")
    assert world.run() == "skipped"
    assert (world.records, world.sent) == ([("skipped", "cancelled")], [])


def test_a_task_that_cannot_be_sent_fails_the_attempt(bench: Callable[..., Bench]) -> None:
    world = bench(retry={"max_attempts": 2, "backoff": 0})
    send, world.runner.send = world.send, lambda *_: 1 / 0
    assert world.run() == "retry"
    world.runner.send = send
    world.sweep()
    assert world.runner.run([TICK]) == {TICK: "handed over"}
    world.runner.end(world.sent[0][1], OK, None)
    attempts = json.loads(world.ledger.history("7")[0])["attempts"]
    assert attempts[0]["error"] == "its task could not be sent: ZeroDivisionError: division by zero"


def test_a_name_that_is_allowed_no_more_is_not_tried_again(bench: Callable[..., Bench]) -> None:
    world = bench(action={"type": "task", "name": "mail.send"}, retry={"max_attempts": 2})
    assert world.run() == "failed"
    error = "CRON_TASKS_TASKS_ALLOW lets no job call the task mail.send"
    assert (world.records, world.sent) == ([("failed", error)], [])


@pytest.mark.parametrize("is_registered", [True, False])
def test_a_job_whose_entry_is_gone_meanwhile(
    bench: Callable[..., Bench], is_registered: bool
) -> None:
    """Only a job that was removed loses its history. Any other entry is written again."""
    world = bench()
    world.run()
    world.redis.delete(keys.entry_key("7"))
    if is_registered:
        world.redis.hset(keys.JOBS, "7", "x")
    else:
        world.redis.hdel(keys.JOBS, "7")
    assert world.runner.end(world.sent[0][1], OK, None) == "ok"
    assert not world.redis.exists(keys.OPEN, keys.DEADLINES)
    assert world.redis.zcard(keys.ACCOUNT_PREFIX + "7") == 1
    assert len(world.ledger.history("7")) == is_registered


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb"), "ValueError: a\\nb"),
        (KeyError("k"), "KeyError: 'k'"),
        (TimeoutError(), "TimeoutError"),
        (None, "its task failed; the log of its worker says why (an id)"),
    ],
)
def test_what_is_said_of_an_error(error: Exception | None, text: str) -> None:
    assert describe_task_error("an id", error) == text


def test_a_task_is_sent_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker may fail in any way after it was asked how many messages wait."""
    valkey = Valkey(tmp_path)
    app = Celery(broker=valkey.url, set_as_current=False)
    handed = Handed(TICK, "", NOW)

    def sent_while(trouble: Callable[[Any], object]) -> int:
        monkeypatch.setattr(
            delegation, "count_messages", lambda producer, _: bool(trouble(producer)) * 0
        )
        delegation.send_task(app, task_job(), task_job().action, "id", handed)
        wait_until(redis.ping)
        return redis.llen("other\x06\x163")

    def freeze_for_a_moment(producer: Any) -> None:
        """Freeze for longer than the client waits for an answer. It waits long for all others."""
        (connection,) = producer.channel.pool._available_connections
        connection._sock.settimeout(0.3)
        valkey.freeze()
        Timer(0.6, valkey.thaw).start()

    with Redis.from_url(valkey.url, socket_timeout=PATIENCE) as redis:
        try:
            assert sent_while(lambda _: None) == 1
            assert sent_while(freeze_for_a_moment) == 2
            with pytest.raises(OperationalError, match="maxmemory"):
                sent_while(lambda _: redis.config_set("maxmemory", "1"))
        finally:
            valkey.stop()
