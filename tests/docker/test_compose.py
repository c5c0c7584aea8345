"""The containers as users run them: built, started, damaged, stopped (`make test-docker`)."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from helpers import wait_until
from programs import find_program

pytestmark = pytest.mark.timeout(1800)

ROOT = Path(__file__).parents[2]
PROJECT = "cron-tasks-test"
#: The values in place of a user's .env.
SETTINGS = Path(__file__).with_name("compose.env")
LOGIN = "tester:secret"
OURS = ("beat", "worker", "flower", "rest_service", "bot")
#: Seconds to wait for a condition. A busy machine builds, starts and checks slowly.
WAIT = 300
#: Seconds that a stopped worker has, as docker-compose.yml says.
GRACE = 40


def run(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command. Settings of the caller's environment are removed."""
    ours = ("CRON_TASKS_", "DEMO_", "FLOWER_", "PROMETHEUS_", "WORKER_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        command, cwd=ROOT, env={**env, **settings}, capture_output=True, text=True
    )


def docker(*arguments: str) -> str:
    done = run("docker", *arguments)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    # The output of a container on its standard error is part of its log.
    return done.stdout + done.stderr if arguments[0] == "logs" else done.stdout.strip()


def raw_compose(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    files = ["-f", "docker-compose.yml", "-f", "docker-compose.test.yml"]
    options = ["--env-file", str(SETTINGS), "--project-name", PROJECT]
    options += ["--profile", "demo", "--profile", "monitoring"]
    return run(*program, *files, *options, *arguments, **settings)


def compose(*arguments: str) -> str:
    done = raw_compose(*arguments)
    assert done.returncode == 0, f"docker-compose {' '.join(arguments)}: {done.stderr[-3000:]}"
    return done.stdout.strip()


def containers(service: str) -> list[str]:
    return compose("ps", "-q", service).split()


def state(container: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(docker("inspect", "-f", "{{json .State}}", container))
    return found


def health(container: str) -> str:
    return docker("inspect", "-f", "{{.State.Health.Status}}", container)


def wait_healthy(*services: str) -> None:
    for service in services:
        for container in containers(service):
            wait_until(lambda c=container: health(c) == "healthy", f"{service} to be healthy", WAIT)


def leads(beat: str) -> bool:
    return "leads" in run("docker", "exec", beat, "cron-tasks", "health", "beat").stdout


def metrics_of_a_beat() -> list[str]:
    program = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/').read().decode())"
    )
    return docker("exec", containers("beat")[0], "python", "-c", program).splitlines()


def ask_prometheus(query: str) -> dict[str, float]:
    """Return the answer to a query: its value by the label `instance`, or by that of an alert."""
    address = compose("port", "prometheus", "9090")
    parameters = urlencode({"query": query})
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{parameters}", timeout=10) as got:
        found = json.load(got)["data"]["result"]
    return {
        each["metric"].get("alertname") or each["metric"].get("instance", ""): float(
            each["value"][1]
        )
        for each in found
    }


def heard(what: str) -> int:
    """Return how often the bot has printed `what`."""
    [bot] = containers("bot")
    return docker("logs", bot).count(what)


def wait_heard(what: str, *, more_than: int = 0) -> None:
    try:
        wait_until(lambda: heard(what) > more_than, f"the bot to print {what!r}", WAIT)
    except AssertionError:
        print(compose("logs", "--no-color", "--tail", "40"))
        raise


def status(url: str, login: str = "") -> int:
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as ok:
            return int(ok.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module", autouse=True)
def system() -> Iterator[None]:
    """Start everything in docker-compose.yml and wait until it is healthy. Remove all of it
    afterwards."""
    try:
        compose("build", "--quiet")
        compose("up", "-d", "valkey", *OURS)
        wait_healthy("valkey", "beat", "worker", "flower", "rest_service")
        yield
    finally:
        compose("down", "--volumes", "--remove-orphans")
    mine = f"label=com.docker.compose.project={PROJECT}"
    assert docker("ps", "-aq", "--filter", mine) == ""
    assert docker("volume", "ls", "-q", "--filter", mine) == ""


def test_a_job_fires_and_the_bot_hears_of_it() -> None:
    wait_heard("Scheduled task: Hello, every ten seconds")


@pytest.mark.parametrize("service", OURS)
def test_a_part_is_not_root_and_cannot_write_but_to_tmp(service: str) -> None:
    for container in containers(service):
        assert docker("exec", container, "id", "-u") == "10001"
        assert run("docker", "exec", container, "touch", "/app/x", "/venv/x").returncode != 0
        docker("exec", container, "touch", "/tmp/x")


@pytest.mark.parametrize("service", ["beat", "worker"])
def test_logs_are_json(service: str) -> None:
    logs = [docker("logs", container) for container in containers(service)]
    lines = [line for log in logs for line in log.splitlines() if line]
    strangers = [line for line in lines if not line.startswith("{")]
    assert lines
    assert not strangers


def test_valkey_keeps_everything_and_is_reached_by_the_parts_alone() -> None:
    [valkey] = containers("valkey")
    wanted = {"appendonly": "yes", "maxmemory-policy": "noeviction"}
    for name, value in {**wanted, "hash-max-listpack-value": "512"}.items():
        assert value in docker("exec", valkey, "valkey-cli", "CONFIG", "GET", name)
    assert docker("port", valkey) == ""


def test_flower_wants_a_login() -> None:
    address = compose("port", "flower", "5555")
    assert address.startswith("127.0.0.1:")
    assert status(f"http://{address}/") == 401
    assert status(f"http://{address}/api/workers") == 401
    assert status(f"http://{address}/", LOGIN) == 200


def test_without_a_login_for_flower_nothing_starts() -> None:
    done = raw_compose("config", FLOWER_BASIC_AUTH="")
    assert done.returncode != 0
    assert "set FLOWER_BASIC_AUTH=user:password" in done.stderr


def test_a_stopped_worker_ends_well_and_the_other_goes_on() -> None:
    compose("up", "-d", "--no-recreate", "--scale", "worker=2", "worker")
    wait_healthy("worker")
    first, second = containers("worker")
    begun = time.monotonic()
    docker("stop", first)
    assert time.monotonic() - begun < GRACE
    assert state(first)["ExitCode"] == 0
    wait_heard("✓", more_than=heard("✓"))
    wait_until(lambda: health(second) == "healthy", "the other worker to be healthy", WAIT)


def test_of_two_beats_the_other_leads_if_one_is_killed() -> None:
    first, second = containers("beat")
    wait_until(lambda: leads(first) or leads(second), "a beat to lead", WAIT)
    leader, standby = (first, second) if leads(first) else (second, first)
    assert not leads(standby)
    docker("kill", "--signal", "KILL", leader)
    wait_until(lambda: leads(standby), "the other beat to lead", WAIT)
    wait_heard("✓", more_than=heard("✓"))
    docker("start", leader)
    wait_healthy("beat")
    wait_until(lambda: leads(standby) and not leads(leader), "one beat to lead", WAIT)


def test_workers_are_scaled_out_and_in_while_jobs_fire() -> None:
    for count in (3, 1):
        compose("up", "-d", "--no-recreate", "--scale", f"worker={count}", "worker")
        wait_healthy("worker")
        assert len(containers("worker")) == count
        wanted = f"cron_tasks_workers {float(count)}"
        wait_until(lambda text=wanted: text in metrics_of_a_beat(), f"{count} workers", WAIT)
        wait_heard("✓", more_than=heard("✓"))


def test_prometheus_finds_each_beat_and_worker_and_knows_our_alerts() -> None:
    find_program("prometheus")
    compose("up", "-d", "--no-recreate", "--scale", "worker=2", "worker", "prometheus")
    wait_healthy("beat", "worker", "prometheus")

    def scraped() -> list[float]:
        return sorted(ask_prometheus('up{job="cron_tasks"}').values())

    wait_until(lambda: scraped() == [1.0] * 5, "two beats, two workers and Flower", WAIT)

    def shown(metric: str) -> list[float]:
        """Return the values of the last scrapes, some of which may be a moment older."""
        return list(ask_prometheus(metric).values())

    wait_until(lambda: set(shown("cron_tasks_beats")) == {2.0}, "both beats", WAIT)
    wait_until(lambda: sum(shown("cron_tasks_slots")) == 4, "the slots of both workers", WAIT)
    wait_until(lambda: "Watchdog" in ask_prometheus("ALERTS"), "the alerts to be judged", WAIT)
    assert ask_prometheus('ALERTS{alertstate="firing"}').keys() == {"Watchdog"}


@pytest.mark.parametrize("service", ["beat", "worker"])
def test_the_main_process_is_told_to_stop_also_without_an_init(service: str) -> None:
    """A plain `docker run` starts it as process 1."""
    settings = ["-e", "CRON_TASKS_REDIS_URL=redis://valkey:6379/0"]
    settings += ["-e", "CRON_TASKS_REST_URL=http://rest_service:8000"]
    image = f"cron-tasks-test-{service}"
    alone = docker("run", "-d", "--network", f"{PROJECT}_default", *settings, image)
    try:
        wait_until(lambda: health(alone) == "healthy", f"{service} to be healthy", WAIT)
        assert "celery" in docker("exec", alone, "cat", "/proc/1/cmdline")
        docker("stop", "--time", str(GRACE), alone)
        assert state(alone)["ExitCode"] == 0
    finally:
        docker("rm", "--force", "--volumes", alone)


def test_who_cannot_work_is_not_healthy() -> None:
    [valkey], beats = containers("valkey"), containers("beat")
    workers = [worker for worker in containers("worker") if state(worker)["Running"]]
    docker("pause", valkey)
    try:
        for container in (*beats, *workers):
            wait_until(lambda c=container: health(c) == "unhealthy", "the health check", WAIT)
    finally:
        docker("unpause", valkey)
    wait_healthy("valkey", "beat")
    for worker in workers:
        wait_until(lambda c=worker: health(c) == "healthy", "the worker to be healthy again", WAIT)
