"""Runs that are delegated to a Celery task, in another app on the broker that does not know
ours."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery as App
from helpers import wait_until
from processes import Celery, Process, Valkey, celery_processes
from redis import Redis
from rest_server import RestServer

from cron_tasks.beat.publisher import QUEUE_FULL
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.store import keys

#: The other app: its own queue, no result backend, no import of ours.
OTHER = """
import os, time
from pathlib import Path

from celery import Celery

app = Celery("other", broker=os.environ["CRON_TASKS_REDIS_URL"])
app.conf.update(task_default_queue="other", broker_connection_retry_on_startup=True)


@app.task(name="other.add")
def add(a, b=0):
    return a + b


@app.task(name="other.say")
def say(text):
    return text


@app.task(name="other.flaky")
def flaky(path):
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return {"went": "well"}
    raise ValueError("not yet")


@app.task(name="other.die")
def die():
    os.kill(os.getpid(), 9)


@app.task(name="other.hang")
def hang(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)  # until somebody ends it
"""
#: Tasks in an app that includes ours: here ours itself, with one more module.
OURS = """
from cron_tasks.celery import app


@app.task(name="mine.fail")
def fail():
    raise ValueError("no\\nway")
"""


class World:
    """Beat, one of our workers and one of the other app, and jobs for manual runs."""

    def __init__(self, redis: Redis, rest: RestServer, celery: Celery, folder: Path) -> None:
        self.redis, self.rest, self.celery, self.folder = redis, rest, celery, folder
        self.ledger = Ledger(redis, Settings())
        (folder / "other.py").write_text(OTHER)
        (folder / "mine.py").write_text(OURS)
        self.other = self.start_other()
        self.ours = celery.worker(1, "--include", "mine", PYTHONPATH=str(folder))
        celery.beat()

    def start_other(self) -> Process:
        options = [
            "-c",
            "2",
            "-Q",
            "other,celery",
            "-n",
            f"other{len(self.celery.processes)}@test",
            "-l",
            "INFO",
        ]
        return self.celery.launch("-A", "other", "worker", *options, PYTHONPATH=str(self.folder))

    def jobs(self, **actions: dict[str, Any]) -> None:
        """Register these jobs: task and other fields by id."""
        self.rest.jobs = [
            {"id": job, "name": job, "run_at": "2099-01-01T00:00:00Z", "queue": "other"}
            | {"action": {"type": "task", **fields.pop("action")}, **fields}
            for job, fields in actions.items()
        ]
        self.redis.lpush(keys.POKE, "*")
        known = Registry(self.redis).read_index
        wait_until(lambda: known().keys() == actions.keys(), "the jobs")

    def run(self, job: str) -> RunId:
        tick = RunId(job, round(time.time(), 3))
        self.ledger.open([tick], time.time())
        return tick

    def ended(self, tick: RunId) -> dict[str, Any]:
        """Return the record of a run, once it has ended."""

        def find() -> dict[str, Any] | None:
            records = map(json.loads, self.ledger.history(tick.job_id))
            return next((record for record in records if record["run_id"] == tick), None)

        return wait_until(find, f"the end of {tick}")

    def state(self, tick: str) -> str:
        """Return the state of a run, once it was delegated."""

        def find() -> str:
            state = self.redis.hget(keys.OPEN, tick) or ""
            return state if "|task:" in state else ""

        return wait_until(find, f"{tick} to be handed over")

    def time_passes(self, tick: str) -> None:
        """Let the timeout of a delegated run pass."""
        assert self.redis.zadd(keys.DEADLINES, {tick: 0}, xx=True, ch=True) == 1

    def ports_of_other(self) -> set[int]:
        """Return the ports from which the main process of the other app has connections."""
        return {link.laddr.port for link in psutil.Process(self.other.pid).net_connections("tcp")}

    def connected_ports(self) -> set[int]:
        """Return the ports from which Redis has connections."""
        return {int(each["addr"].rpartition(":")[2]) for each in self.redis.client_list()}

    def pid(self, name: str) -> int:
        """Return the process that begins to hang in the task with this name."""
        path = self.folder / name
        pid = int(wait_until(lambda: path.exists() and path.read_text(), f"{name} to begin"))
        path.unlink()
        return pid


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    valkey = Valkey(folder / "valkey")
    with RestServer([]) as rest, Redis.from_url(valkey.url, decode_responses=True) as redis:
        env = {
            "CRON_TASKS_REDIS_URL": valkey.url,
            "CRON_TASKS_REST_URL": rest.url,
            "CRON_TASKS_TASKS_ALLOW": "other.*, mine.*",
        }
        with celery_processes(env, folder) as processes:
            yield World(redis, rest, processes, folder)
    valkey.stop()


def hanging(folder: Path, name: str, **fields: Any) -> dict[str, Any]:
    return {"action": {"name": "other.hang", "args": [str(folder / name)]}, **fields}


def test_the_outcome_of_a_task_is_the_run_s(world: World, tmp_path: Path) -> None:
    once = {"max_attempts": 2, "backoff": 0}
    world.jobs(
        # Without a queue it goes to the one that apps read by default.
        adds={"action": {"name": "other.add", "args": [40], "kwargs": {"b": 2}}, "queue": None},
        says={"action": {"name": "other.say", "args": ["a\tb\x1b[31m\nc" + "x" * 5000]}},
        flaky={
            "action": {"name": "other.flaky", "args": [str(tmp_path / "flaky")]},
            "retry": once,
            "notify": {"on": ["success", "failure", "retry"]},
        },
        dies={"action": {"name": "other.die"}},
        mine={"action": {"name": "mine.fail"}, "queue": "cron_tasks"},
        full={"action": {"name": "other.add"}, "queue": "full", "notify": {"on": []}},
    )
    world.redis.rpush("full", *["a message"] * (QUEUE_FULL + 1))
    runs = {job: world.run(job) for job in ("adds", "says", "flaky", "dies", "mine", "full")}
    records = {job: world.ended(tick) for job, tick in runs.items()}
    assert {job: (r["status"], r["attempt"]) for job, r in records.items()} == {
        "adds": ("ok", 1),
        "says": ("ok", 1),
        "flaky": ("ok", 2),
        "dies": ("failed", 1),
        "mine": ("failed", 1),
        "full": ("failed", 1),
    }
    assert records["adds"]["output"] == "42"
    assert records["says"]["output"].startswith("a       b\\x1b[31m\ncxxx")
    assert len(records["says"]["output"]) <= 4096
    assert records["flaky"]["output"] == '{"went": "well"}'
    (first,) = records["flaky"]["attempts"]
    assert first["error"].startswith("its task failed; the log of its worker says why (flaky@")
    assert f"({runs['flaky']}#1-" in first["error"]
    full = "its task could not be sent: 10001 messages wait in its queue full"
    assert records["full"]["error"] == full
    assert records["mine"]["error"] == "ValueError: no\\nway"
    assert all(record["worker"] for record in records.values())
    assert all(record["started_at"] <= record["finished_at"] for record in records.values())
    told = [json.loads(message) for message in world.redis.lrange("queue:to_telegram", 0, -1)]
    events = sorted((message["job_id"], message["event"]) for message in told)
    assert events == [
        ("adds", "success"),
        ("dies", "failure"),
        ("flaky", "retry"),
        ("flaky", "success"),
        ("mine", "failure"),
        ("says", "success"),
    ]
    assert not world.redis.exists(keys.OPEN, keys.DEADLINES, keys.ATTEMPTS, keys.GOING)


def test_a_task_is_replaced_and_cancelled(world: World) -> None:
    world.jobs(old=hanging(world.folder, "old", overlap="replace"))
    first = world.run("old")
    pid = world.pid("old")
    second = world.run("old")
    record = world.ended(first)
    assert (record["status"], record["reason"], record["other"]) == ("skipped", "replaced", second)
    wait_until(lambda: not psutil.pid_exists(pid), "the replaced task to be ended")
    pid = world.pid("old")
    world.redis.hset(keys.STOP, second, "cancelled|")
    world.redis.zadd(keys.DEADLINES, {second: 0})
    assert world.ended(second)["reason"] == "cancelled"
    wait_until(lambda: not psutil.pid_exists(pid), "the cancelled task to be ended")


def test_late_and_repeated_outcomes_change_nothing(world: World) -> None:
    world.jobs(late=hanging(world.folder, "late", timeout=60))
    tick = world.run("late")
    state = world.state(tick)
    app = App(broker=world.celery.env["CRON_TASKS_REDIS_URL"], set_as_current=False)

    def tell(task: str, state: str, result: str) -> None:
        handed = {"run_id": tick, "state": state, "started_at": time.time()}
        app.send_task(task, [result], {"handed": handed}, queue="cron_tasks")

    tell(keys.DONE_TASK, state[:-1], "of another attempt")
    tell(keys.DONE_TASK, state, "first")
    tell(keys.DONE_TASK, state, "second")
    tell(keys.FAILED_TASK, state, "an id")
    assert world.ended(tick)["output"] == "first"

    def ignored() -> int:
        lines = world.ours.output.splitlines()
        return len([line for line in lines if '"run.outcome_ignored"' in line and tick in line])

    wait_until(lambda: ignored() == 3, "the others")
    assert len(world.ledger.history("late")) == 1
    os.kill(world.pid("late"), 9)


def test_a_task_without_an_outcome_ends_at_the_timeout(world: World) -> None:
    world.jobs(
        # The timeouts of tasks that begin pass when the test wants it.
        slow=hanging(world.folder, "slow", timeout=60),
        killed=hanging(world.folder, "killed", timeout=60),
        waits={"action": {"name": "other.add", "args": [1]}, "timeout": 1},
        nobody={"action": {"name": "other.nobody"}, "queue": "nowhere", "timeout": 1},
    )
    slow = world.run("slow")
    pid = world.pid("slow")
    overlapping = world.ended(world.run("slow"))
    assert (overlapping["reason"], overlapping["other"]) == ("overlap", slow)
    world.time_passes(slow)
    assert world.ended(slow)["error"] == "no outcome of task other.hang within 60 s"
    wait_until(lambda: not psutil.pid_exists(pid), "the task to be ended")
    killed = world.run("killed")
    world.pid("killed")
    ports = world.ports_of_other()
    world.other.kill()
    # As long as Redis takes the dead worker for one that waits, it may give it a message.
    wait_until(lambda: not ports & world.connected_ports(), "its connections to end")
    world.time_passes(killed)
    runs = {job: world.run(job) for job in ("waits", "nobody")}
    assert {job: world.ended(tick)["error"] for job, tick in runs.items()} == {
        "waits": "no outcome of task other.add within 1 s",
        "nobody": "no outcome of task other.nobody within 1 s",
    }
    assert world.ended(killed)["error"] == "no outcome of task other.hang within 60 s"
    # What waited for a worker for too long begins no more.
    other = world.start_other()
    wait_until(
        lambda: re.search(rf"Discarding revoked task: .*{runs['waits']}", other.output), "it"
    )
