"""`cron-tasks health` shows probes whether the parts work, and is right while they fail."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from command_line import CommandLine
from helpers import PATIENCE, wait_until
from processes import Celery, Valkey
from redis import Redis
from rest_server import RestServer, status

from cron_tasks.store import keys
from cron_tasks.vitals.judgement import (
    Facts,
    judge_beat,
    judge_sync,
    judge_system,
    judge_worker,
    read_facts,
)
from cron_tasks.vitals.signs import FRESH, Sign

NOW = 1_000_000.0
HOST = "here"
OK = {"state": "ok", "detail": "", "since": None, "last_success": str(NOW - 5)}
ME = os.getpid()


def facts(*signs: Sign, **more: object) -> Facts:
    well = {"has_leader": True, "overdue": 0, "unattended": 0, "set_aside": 0, "workers": 1}
    return Facts(now=NOW, source=OK, signs=list(signs), **(well | more))  # type: ignore[arg-type]


def sign(part: str, age: float = 1.0, pid: int = ME, host: str = HOST) -> Sign:
    return Sign(part, host, pid, NOW - age)


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize(
    ("found", "healthy"),
    [
        (facts(), False),
        (facts(sign("beat", host="elsewhere")), False),
        (facts(sign("worker")), False),
        (facts(sign("beat")), True),
        (facts(sign("beat"), overdue=1), True),  # it stands by, and another one should fire
        (facts(sign("beat"), sign("leader")), True),
        (facts(sign("beat"), sign("leader"), overdue=1), False),
        (facts(sign("beat"), sign("leader"), unattended=1), False),
        (facts(sign("beat"), sign("leader", FRESH + 5), overdue=1), True),  # it led before
        (facts(sign("beat"), sign("leader", 3), sign("leader", 1, 1), overdue=1), True),
        (facts(sign("beat", FRESH + 1)), False),
        (facts(sign("beat"), sign("beat", FRESH + 1, os.getppid())), False),
    ],
)
def test_a_beat_is_judged_by_its_own_signs(found: Facts, healthy: bool) -> None:
    assert judge_beat(found, HOST).is_healthy is healthy


def test_a_process_that_ended_is_not_a_process_that_hangs() -> None:
    ended = dead_pid()
    assert judge_beat(facts(sign("beat"), sign("beat", 60, ended)), HOST).is_healthy
    assert not judge_beat(facts(sign("beat", 1, ended)), HOST).is_healthy
    assert judge_worker(facts(sign("worker"), sign("worker", 60, ended)), HOST).is_healthy
    assert not judge_worker(facts(sign("worker", FRESH + 1)), HOST).is_healthy
    with subprocess.Popen(["true"]) as process:
        # Its parent has not asked how it ended, so it still has its id.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert judge_beat(facts(sign("beat"), sign("beat", 60, process.pid)), HOST).is_healthy


@pytest.mark.parametrize(
    "fault",
    [
        {"has_leader": False},
        {"overdue": 2},
        {"unattended": 2},
        {"set_aside": 1},
        {"workers": 0},
    ],
)
def test_the_whole_is_healthy_only_while_everything_is(fault: dict[str, object]) -> None:
    assert judge_system(facts(), 60).is_healthy
    assert not judge_system(facts(**fault), 60).is_healthy


def test_a_sync_is_judged_by_its_state_and_its_age() -> None:
    assert judge_sync(OK, NOW, 60).is_healthy
    assert not judge_sync(OK, NOW + 190, 60).is_healthy
    assert judge_sync(OK, NOW + 190, 600).is_healthy
    assert not judge_sync(OK | {"state": "failing", "since": str(NOW)}, NOW, 60).is_healthy
    assert not judge_sync(OK | {"state": "refused", "since": str(NOW)}, NOW, 60).is_healthy
    assert not judge_sync(dict.fromkeys(OK), NOW, 60).is_healthy
    assert not judge_system(facts()._replace(source=dict.fromkeys(OK)), 60).is_healthy


def is_healthy(cli: CommandLine, *part: str) -> bool:
    done = cli.attempt("health", *part)
    assert done.returncode in (0, 1), done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1
    return done.returncode == 0


def awaits(redis: Redis, healthy: bool, *parts: str) -> None:
    """Wait until these parts of this host are healthy, or until none of them is."""
    judges = {"beat": judge_beat, "worker": judge_worker}

    def verdicts() -> set[bool]:
        found = read_facts(redis, time.time())
        return {judges[part](found, socket.gethostname()).is_healthy for part in parts}

    wait_until(lambda: verdicts() == {healthy}, f"{parts}: {healthy}")


def test_parts_that_freeze_turn_unhealthy(
    cli: CommandLine, redis: Redis, rest: RestServer, celery: Celery
) -> None:
    assert not is_healthy(cli, "worker")
    assert not is_healthy(cli)
    rest.jobs = [{"id": 1, "name": "a", "every": 3600}, {"id": 2, "name": "b", "every": 1}]
    worker, beat = celery.worker(), celery.beat()
    wait_until(lambda: redis.exists(keys.JOBS), "the first sync")
    awaits(redis, True, "beat", "worker")
    wait_until(lambda: is_healthy(cli, "sync"), "the end of the sync")
    wait_until(lambda: is_healthy(cli), "the whole to be healthy")
    standby = celery.beat()
    standby.wait_for("beat.standing_by")
    wait_until(lambda: is_healthy(cli, "beat"), "both beats to be healthy")
    standby.terminate()
    for process in (beat, worker):
        process.signal(signal.SIGSTOP)
    awaits(redis, False, "beat", "worker")
    for part in ("beat", "worker", ""):
        assert not is_healthy(cli, *filter(None, [part]))
    for process in (beat, worker):
        process.signal(signal.SIGCONT)
    awaits(redis, True, "beat", "worker")
    wait_until(lambda: is_healthy(cli, "worker"), "the worker to be healthy again")
    pool = psutil.Process(worker.pid).children()
    for process in pool:
        process.suspend()
    awaits(redis, False, "worker")
    wait_until(lambda: not is_healthy(cli), "the whole to be unhealthy")
    worker.wait_for('"worker.stuck"')
    for process in pool:
        process.resume()
    awaits(redis, True, "worker")
    beat.terminate()
    assert not is_healthy(cli, "beat")


def test_a_sync_that_fails_and_its_answer_as_json(
    cli: CommandLine, redis: Redis, rest: RestServer, synced: Callable[..., None]
) -> None:
    synced({"id": 1, "name": "a", "every": 3600})
    found = cli.json("health", "sync")
    assert (found["part"], found["healthy"]) == ("sync", True)
    assert found["detail"].startswith("The last sync succeeded ")
    rest.answer = status(500)
    cli.run("sync", code=1)
    found = json.loads(cli.run("health", "sync", "--json", code=1).stdout)
    assert not found["healthy"]
    assert found["detail"].startswith("failing for ")


def test_a_redis_that_is_away_or_frozen_fails_soon(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    commands = CommandLine(tmp_path, REDIS_URL=server.url, REST_URL="http://127.0.0.1:1")
    server.freeze()
    began = time.monotonic()
    assert not is_healthy(commands, "beat")
    assert time.monotonic() - began < PATIENCE
    server.stop()
    assert not is_healthy(commands)
    commands.end()


def test_a_worker_gives_its_signs_with_its_heartbeats(
    cli: CommandLine, redis: Redis, celery: Celery
) -> None:
    """Celery's heartbeats end with the connection to the broker."""
    worker = celery.worker()
    worker.wait_for("ready")
    awaits(redis, True, "worker")
    wait_until(lambda: is_healthy(cli, "worker"), "the command to say so")
    name = redis.zrange(keys.SIGNS, 0, -1)[0]
    assert name == f"worker|{socket.gethostname()}|{worker.pid}"
    redis.zadd(keys.SIGNS, {name: time.time() - 60})
    wait_until(lambda: redis.zscore(keys.SIGNS, name) > time.time() - 10, "the next heartbeat")


def test_a_key_of_another_type_holds_up_no_beat(redis: Redis, celery: Celery) -> None:
    redis.set(keys.SIGNS, "text", ex=60)
    celery.beat().wait_for("beat.leading")


def test_health_imports_little() -> None:
    code = "import sys, cron_tasks.cli.health; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"celery", "kombu", "requests", "cron_tasks.jobs.job", "rich"}
    assert not heavy & set(out.stdout.split())
