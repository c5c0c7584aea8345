"""Pods of kubernetes/ start, stop and read secrets as their manifests say, tried with our code."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from deployment import one
from flower_process import Flower
from helpers import wait_until
from kustomize import container_of, pod_of
from processes import Celery
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.store import keys

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
#: Seconds after its timeout until a run's process is killed.
AFTER_TIMEOUT = 12
#: Seconds that a restart of Redis may take, with its whole file to read.
REDIS_IS_AWAY = 300


def longest(probe: dict[str, Any]) -> int:
    """Return after how many seconds of failures the probe counts."""
    return int(probe["periodSeconds"] * probe.get("failureThreshold", 3))


def test_a_worker_has_time_to_finish_its_runs() -> None:
    timeout = Job.model_fields["timeout"].default
    grace = pod_of("cron-tasks-worker")["spec"]["terminationGracePeriodSeconds"]
    assert grace >= timeout + AFTER_TIMEOUT


@pytest.mark.parametrize("name", ["cron-tasks-beat", "cron-tasks-worker"])
def test_no_restart_comes_before_redis_may_be_back(name: str) -> None:
    container = container_of(name)
    assert longest(container["livenessProbe"]) > REDIS_IS_AWAY
    assert longest(container["startupProbe"]) >= REDIS_IS_AWAY


def run_probe(cli: CommandLine, command: list[str]) -> int:
    program, *arguments = command
    assert program == "cron-tasks"
    return cli.attempt(*arguments).returncode


def test_probes_of_beat_and_worker_exit_as_they_promise(
    cli: CommandLine, redis: Redis, celery: Celery
) -> None:
    commands = {}
    for part in ("beat", "worker"):
        container = container_of(f"cron-tasks-{part}")
        probes = [container[probe]["exec"]["command"] for probe in PROBES]
        assert probes == [["cron-tasks", "health", part]] * 3
        commands[part] = probes[0]
        assert run_probe(cli, probes[0]) == 1
    beat, worker = celery.beat(), celery.worker()
    for part, command in commands.items():
        host = f"{part}|{socket.gethostname()}|"
        wait_until(
            lambda start=host: any(
                each.startswith(start) for each in redis.zrange(keys.SIGNS, 0, -1)
            ),
            f"the first sign of {part}",
        )
        assert run_probe(cli, command) == 0
    for process in (beat, worker):
        process.terminate()
    for command in commands.values():
        assert run_probe(cli, command) == 1


def test_probes_of_flower_are_answered_without_a_login(celery: Celery, tmp_path: Path) -> None:
    container = container_of("cron-tasks-flower")
    paths = {container[probe]["httpGet"]["path"] for probe in PROBES}
    flower = Flower(celery.env, tmp_path, login="ann:secret").wait_ready()
    try:
        assert flower.get("/", Authorization="").status == 401
        assert flower.get(one(paths), Authorization="").status == 200
    finally:
        flower.process.end()


def test_settings_are_read_from_a_secret_as_kubernetes_mounts_it(
    cli: CommandLine, tmp_path: Path
) -> None:
    """A hidden folder for each version, a link to the present one, and a link for each key."""
    mount = tmp_path / "mount"
    version = mount / "..2026_11_28_07_00_00.1"
    version.mkdir(parents=True)
    (version / "CRON_TASKS_CHAT_ID").write_text("4711")
    (version / "FLOWER_BASIC_AUTH").write_text("ann:secret")
    (mount / "..data").symlink_to(version.name)
    for name in ("CRON_TASKS_CHAT_ID", "FLOWER_BASIC_AUTH"):
        (mount / name).symlink_to(f"..data/{name}")
    done = cli.run("settings", "--json", SECRETS_DIR=str(mount))
    assert done.stderr == ""
    rows = {row["variable"]: row for row in json.loads(done.stdout)}
    assert rows["CRON_TASKS_CHAT_ID"]["value"] == "4711"
