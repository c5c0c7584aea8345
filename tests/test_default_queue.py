"""The default queue of jobs: separate from other apps, and from messages left by an upgrade."""

import json
import time
from pathlib import Path

import pytest
from celery import Celery as App
from helpers import settings_error, wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.settings import Settings
from cron_tasks.store import keys

#: An app as Celery's tutorial has it: on the same Redis, with every default.
FOREIGN = """
import os
from celery import Celery
from redis import Redis
app = Celery("foreign", broker=os.environ["CRON_TASKS_REDIS_URL"])

@app.task(name="foreign.note")
def note(number):
    Redis.from_url(os.environ["CRON_TASKS_REDIS_URL"]).setex(f"noted:{number}", 60, number)
"""
SECONDLY = {"id": 1, "name": "x", "every": 1}
NEVER = {"id": 1, "name": "x", "run_at": "2099-01-01T00:00:00Z"}


def told(redis: Redis) -> int:
    return int(redis.llen("queue:to_telegram"))


def test_a_foreign_app_on_the_same_redis_keeps_its_tasks(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery, tmp_path: Path
) -> None:
    rest.jobs = [SECONDLY]
    (tmp_path / "foreign.py").write_text(FOREIGN)
    ours = celery.worker(2)
    celery.beat()
    wait_until(lambda: told(redis) > 1, "our runs")
    with App("sender", broker=redis_url, set_as_current=False) as app:
        for number in range(20):
            app.send_task("foreign.note", [number])
    options = ["-c", "1", "-n", "foreign@test", "-l", "INFO"]
    other = celery.launch("-A", "foreign", "worker", *options, PYTHONPATH=str(tmp_path))
    wait_until(lambda: len(redis.keys("noted:*")) == 20, "the tasks of the other app")
    before = told(redis)
    wait_until(lambda: told(redis) > before + 2, "our runs beside it")
    assert "foreign.note" not in ours.output
    assert "unregistered" not in ours.output + other.output


def test_messages_that_an_upgrade_leaves_in_the_old_queue_are_no_loss(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [NEVER]
    celery.run("cron-tasks", "sync")
    # The version before sent runs and syncs to `celery`.
    ledger, now = Ledger(redis, Settings()), round(time.time(), 3)
    runs = [RunId("1", now), RunId("1", now + 0.001)]
    ledger.open(runs, now)
    with App("cron_tasks", broker=redis_url, set_as_current=False) as app:
        for each in runs:
            app.send_task(keys.RUN_TASK, ["1"], task_id=each)
        app.send_task(keys.SYNC_TASK)
    rest.jobs = [NEVER, NEVER | {"id": 2}]
    celery.worker(1)
    celery.beat()
    wait_until(lambda: len(list(ledger.history("1"))) == 2, "the runs")
    assert {json.loads(record)["status"] for record in ledger.history("1")} == {"ok"}
    wait_until(lambda: Registry(redis).count() == 2, "the sync")
    assert redis.llen("celery") == 3


def test_another_default_queue_is_used_by_every_part(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [SECONDLY]
    with_default = dict(celery.env)
    celery.env = {**with_default, "CRON_TASKS_DEFAULT_QUEUE": "plants"}
    worker = celery.worker(1)
    celery.beat()
    wait_until(lambda: told(redis) > 1, "two runs")
    assert worker.alive
    assert not redis.exists("_kombu.binding.cron_tasks")

    def doctor() -> str:
        return celery.run("cron-tasks", "doctor").stdout

    # A busy worker may not answer doctor in time.
    wait_until(lambda: "queues: plants" in doctor(), "the worker in doctor's words")
    celery.env = with_default
    wait_until(lambda: "none consumes cron_tasks" in doctor(), "what the worker lacks")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"default_queue": "queue:to_telegram"}, "it is also CRON_TASKS_NOTIFY_QUEUE"),
        ({"notify_queue": "cron_tasks"}, "it is also CRON_TASKS_NOTIFY_QUEUE"),
        ({"default_queue": "a", "notify_queue": "a"}, "it is also CRON_TASKS_NOTIFY_QUEUE"),
        ({"default_queue": "cron_tasks:open"}, "names that start with redbeat:, cron_tasks:"),
        ({"default_queue": "celeryev"}, "celeryev are reserved"),
        ({"default_queue": "a.pidbox"}, "names that end with .pidbox are reserved"),
        ({"default_queue": "a b"}, "it contains a space"),
    ],
)
def test_a_wrong_default_queue_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], words: str
) -> None:
    error = settings_error(monkeypatch, **given)
    assert error.startswith("CRON_TASKS_DEFAULT_QUEUE")
    assert words in error
