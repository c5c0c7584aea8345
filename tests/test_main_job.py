"""The main job, end to end: REST service, sync, beat, worker, the bot's queue."""

import json
from datetime import datetime
from typing import Any

from helpers import wait_until
from live import wait_for_syncs
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.registry.registry import Registry

QUEUE = "queue:to_telegram"


def received(redis: Redis, queue: str = QUEUE) -> list[dict[str, Any]]:
    return [json.loads(message) for message in redis.lrange(queue, 0, -1)]


def poke(redis: Redis) -> None:
    redis.lpush("cron_tasks:poke", "*")


def test_a_listed_job_fires_on_time_and_its_message_is_on_the_queue(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [{"id": 7, "name": "Water the plants", "cron_expression": "* * * * * *"}]
    worker = celery.worker()
    celery.beat()
    messages = wait_until(lambda: len(found := received(redis)) >= 3 and found, "three messages")
    first = messages[0]
    assert {key: first[key] for key in ("chat_id", "response", "status", "event")} == {
        "chat_id": 100,
        "response": "Scheduled task: Water the plants",
        "status": "success",
        "event": "success",
    }
    assert first["id"] == f"{first['run_id']}/success"
    assert first["run_id"] == f"7@{first['scheduled_for']}"
    times = [datetime.fromisoformat(message["scheduled_for"]).timestamp() for message in messages]
    assert times == [times[0] + n for n in range(len(times))]
    late = datetime.fromisoformat(first["created_at"]).timestamp() - times[0]
    assert 0 <= late < 15, "later it would be missed"

    def find_lines() -> list[str]:
        return [line for line in worker.output.splitlines() if first["run_id"] in line]

    about = wait_until(find_lines, "the line of the first run")
    assert len(about) == 1, "a run says in one line how it ended"
    assert json.loads(about[0])["event"] == "run.finished"


def test_a_poke_makes_an_edit_count_at_once(redis: Redis, rest: RestServer, celery: Celery) -> None:
    rest.jobs = [{"id": 1, "name": "never", "run_at": "2099-01-01T00:00:00Z"}]
    celery.env["CRON_TASKS_SYNC_INTERVAL"] = "3600"
    celery.worker()
    celery.beat()
    wait_until(lambda: Registry(redis).count() == 1, "the first sync")
    wait_for_syncs(redis)
    rest.jobs = [{"id": 2, "name": "now", "every": 1}]
    poke(redis)
    messages = wait_until(lambda: received(redis), "the new job's message")
    assert messages[0]["job_id"] == "2"
    assert list(Registry(redis).read_index()) == ["2"]


def test_a_run_by_hand(redis: Redis, rest: RestServer, celery: Celery) -> None:
    rest.jobs = [
        {"id": 42, "name": "Report", "run_at": "2099-01-01T00:00:00Z"},
        {"id": 43, "name": "Off", "run_at": "2099-01-01T00:00:00Z", "enabled": False},
    ]
    worker = celery.worker()
    celery.beat()
    wait_until(lambda: Registry(redis).count() == 2, "the first sync")
    call = celery.run("call", "cron_tasks.run_job", '--args=["42"]')
    assert call.returncode == 0, call.stderr
    messages = wait_until(lambda: received(redis), "the message")
    assert messages[0]["job_name"] == "Report"
    celery.run("call", "cron_tasks.run_job", '--args=["41"]')
    worker.wait_for("No job has the ID")
    celery.run("call", "cron_tasks.run_job", '--args=["43"]')
    # A disabled job runs when a person asks for it.
    messages = wait_until(lambda: len(found := received(redis)) > 1 and found, "its message")
    assert [message["job_name"] for message in messages] == ["Report", "Off"]


def test_celery_commands_work_as_any_celery_user_expects(celery: Celery) -> None:
    worker = celery.worker()
    worker.wait_for("ready")
    # These commands wait for answers for a second only.
    wait_until(lambda: "pong" in celery.run("inspect", "ping").stdout, "pong")
    ask = lambda: celery.run("inspect", "registered").stdout  # noqa: E731
    registered = wait_until(lambda: "w0@test" in (found := ask()) and found, "the tasks")
    for task in ("cron_tasks.sync_jobs", "cron_tasks.run_job"):
        assert task in registered
    assert worker.terminate() == 0


def test_each_line_of_worker_and_beat_is_json(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [{"id": 7, "name": "a\nb\x1b[31m", "every": 1}]
    worker, beat = celery.worker(), celery.beat()
    wait_until(lambda: received(redis), "a message")
    beat.terminate()
    worker.terminate()
    # What Celery's signal handler writes past logging (celery.apps.worker.safe_say).
    spoken = {"", "worker: Warm shutdown (MainProcess)"}
    for process in (worker, beat):
        for line in set(process.output.splitlines()) - spoken:
            assert "event" in json.loads(line), line
