"""A person who waits for a run sees why it does not begin, and can limit the wait."""

import json
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from celery import Celery as App
from command_line import CommandLine, Quick
from helpers import PATIENCE, wait_until
from live import Live
from processes import Celery
from redis import Redis

from cron_tasks.store import keys

ONCE = {"id": 7, "name": "x", "run_at": "2099-01-01T00:00:00Z"}

Rows = Callable[..., None]


def test_a_run_in_a_queue_that_nobody_consumes_is_explained(
    cli: CommandLine, redis: Redis, synced: Rows, celery: Celery
) -> None:
    synced({**ONCE, "queue": "slow"})
    celery.worker().wait_for("ready")
    with cli.start("jobs", "run", "7", "--wait") as process:
        assert process.stderr
        note = process.stderr.readline()
        process.kill()
    assert note == (
        "Note: No worker has taken the run, because none consumes slow. "
        "Start one with `celery -A cron_tasks worker -Q slow`\n"
    )
    began = time.monotonic()
    done = cli.run("jobs", "run", "7", "--wait", "--timeout", "1", code=1)
    assert time.monotonic() - began >= 1
    run_id = done.stdout.strip()
    (error,) = done.stderr.splitlines()
    assert error.startswith(f"Error: Run {run_id} has not ended within 1 s, and continues. ")
    assert redis.hexists(keys.OPEN, run_id)
    redis.delete("slow")


def test_a_run_that_waits_for_a_busy_worker_is_explained(live: Live, cli: CommandLine) -> None:
    never = {"run_at": "2099-01-01T00:00:00Z"}
    live.start({"id": "8", **never}, slots=1)
    # A call waits on the event loop and keeps no slot busy. So the slots are stopped.
    slots = psutil.Process(live.celery.processes[0].pid).children()
    for slot in slots:
        slot.suspend()
    with cli.start("jobs", "run", "8", "--wait") as process:
        assert process.stderr
        note = process.stderr.readline()
        for slot in slots:
            slot.resume()
        out, err = process.communicate(timeout=PATIENCE)
    assert note == (
        "Note: No worker has taken the run yet. w0@test consumes cron_tasks. "
        "`cron-tasks runs --status running` shows which runs occupy it\n"
    )
    assert err == ""
    assert out.splitlines()[1].startswith("ok after")
    live.settles()


def test_a_run_that_is_taken_at_once_needs_no_note(
    cli: CommandLine, synced: Rows, celery: Celery
) -> None:
    synced(ONCE)
    celery.worker().wait_for("ready")
    done = cli.run("jobs", "run", "7", "--wait", "--timeout", "30")
    assert done.stdout.splitlines()[1].startswith("ok after")
    assert done.stderr == ""


@pytest.mark.parametrize("command", [("jobs", "run", "7"), ("runs", "retry", "7@2099")])
def test_a_timeout_is_for_waiting(quick: Quick, command: tuple[str, ...]) -> None:
    assert "--timeout needs --wait" in quick.error(*command, "--timeout", "5", code=2)
    for wrong in ("0", "-1", "x"):
        assert "--timeout" in quick.error(*command, "--wait", "--timeout", wrong, code=2)


def test_a_run_by_celery_of_an_unknown_job_is_an_error(
    redis: Redis, redis_url: str, synced: Rows, celery: Celery
) -> None:
    synced(ONCE)
    worker = celery.worker()
    worker.wait_for("ready")
    failed: list[dict[str, str]] = []
    named = {"client_name": "watcher"}
    with (
        App("watcher", broker=redis_url, set_as_current=False) as app,
        app.connection(transport_options=named) as broker,
    ):
        receiver = app.events.Receiver(broker, handlers={"task-failed": failed.append})
        thread = threading.Thread(
            target=receiver.capture, kwargs={"timeout": 60, "limit": None}, daemon=True
        )
        thread.start()

        def listens() -> bool:
            clients = redis.client_list()
            return any(each["name"] == "watcher" and each["psub"] != "0" for each in clients)

        wait_until(listens, "the one who watches")
        call = celery.run("call", "cron_tasks.run_job", '--args=["wrong"]')
        assert call.returncode == 0
        wait_until(lambda: failed, "the failure that Flower shows")
        receiver.should_stop = True
        thread.join(PATIENCE)
    assert failed[0]["uuid"] == call.stdout.strip()
    assert "No job has the ID 'wrong'" in failed[0]["exception"]
    lines = [json.loads(line) for line in worker.output.splitlines() if "job.unknown" in line]
    assert [(line["level"], line["job_id"]) for line in lines] == [("error", "wrong")]
    assert "Traceback" not in worker.output
