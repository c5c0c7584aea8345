"""`cron-tasks up`, as a person runs it, and what keeps its parts running and ends them."""

import asyncio
import fcntl
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from helpers import wait_until
from processes import Process
from redis import Redis
from rest_server import RestServer

from cron_tasks import names
from cron_tasks.errors import CronTasksError
from cron_tasks.settings import Settings
from cron_tasks.stack.child import LOG_BYTES, LOGS_KEPT, LONGEST_LINE, CannotRun, Child, Part
from cron_tasks.stack.folder import Home, home
from cron_tasks.stack.guard import guarded
from cron_tasks.stack.narrator import counts, distance, said, worth_telling
from cron_tasks.stack.parts import Options, free_port, need, valkey
from cron_tasks.stack.system import spare_real_jobs, up

COMMAND = [str(Path(sys.executable).with_name("cron-tasks")), "up"]
HELLO = {"id": 1, "name": "Hello", "every": 1}


@contextmanager
def running(tmp_path: Path, *options: str, **env: str) -> Iterator[Process]:
    """`cron-tasks up` in an empty folder, with nothing set but `env`."""
    (tmp_path / "tmp").mkdir()
    foreign = [name for name in os.environ if name.startswith("CRON_TASKS_")]
    command = ["sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path)]
    command += ["env", *(word for name in foreign for word in ("-u", name))]
    command += [f"TMPDIR={tmp_path / 'tmp'}", *(f"{name}={value}" for name, value in env.items())]
    process = Process([*command, *COMMAND, *options], {}, tmp_path / "screen")
    try:
        yield process
    finally:
        process.end()


def family(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != "zombie" for each in processes)


def main_process(members: list[psutil.Process], part: str) -> psutil.Process:
    mains = [each for each in members if os.getpgid(each.pid) == each.pid]
    return next(each for each in mains if part in " ".join(each.cmdline()))


def test_the_demo_from_the_first_notification_to_ctrl_c(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.json"
    jobs.write_text(json.dumps([HELLO]))
    options = ["--demo", f"--jobs={jobs}", "--concurrency=1", f"--flower-port={free_port([5999])}"]
    with running(tmp_path, *options) as demo:
        demo.wait_for("Scheduled task: Hello", 60)
        demo.wait_for("All ready", 60)
        demo.wait_for("Every second")

        jobs.write_text(json.dumps([HELLO | {"name": "Edited"}]))
        saved = time.monotonic()
        demo.wait_for("Scheduled task: Edited")
        assert time.monotonic() - saved < 3

        members = family(demo)
        worker = main_process(members, "worker1@")
        pool = worker.children()
        worker.kill()
        demo.wait_for("was killed (SIGKILL); starts again in 0.2 s")
        wait_until(lambda: demo.output.count("worker1   ready") == 2, "worker1's second life", 60)
        assert gone([worker, *pool])

        (folder,) = (tmp_path / "tmp").iterdir()
        logs = {path.name for path in (folder / "logs").iterdir()}
        parts = ["valkey", "rest", "beat", "worker1", "worker2", "bot", "flower"]
        assert logs == {f"{part}.log" for part in parts}
        for noise in ("\x1b", "celery@", "Traceback", "[config]", '{"timestamp"'):
            assert noise not in demo.output

        members += family(demo)
        demo.signal(signal.SIGINT)
        assert demo.popen.wait(40) == 0, demo.output
        assert gone(members)
        assert list((tmp_path / "tmp").iterdir()) == []


def test_on_given_servers_and_killed(
    tmp_path: Path, redis: Redis, redis_url: str, rest: RestServer
) -> None:
    rest.jobs = [HELLO]
    env = {"CRON_TASKS_REDIS_URL": redis_url, "CRON_TASKS_REST_URL": rest.url}
    with running(tmp_path, "--workers=1", "--concurrency=1", **env) as process:
        wait_until(lambda: redis.llen("queue:to_telegram"), "a notification", 60)
        process.wait_for("All ready", 60)
        members = family(process)
        assert not any("valkey" in each.name() for each in members)
        flower = re.findall(r"http://127\.0\.0\.1:5[56]\d\d", process.output)
        assert len(flower) == 1
        process.signal(signal.SIGKILL)
        wait_until(lambda: gone(members), "the end of all that it had started", 5)
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()), "the end of its folder", 5)


OPTIONS = Options(demo=False, workers=1, concurrency=1, data=None, jobs=None, flower_port=5555)


def test_what_is_missing_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CronTasksError, match=r"^CRON_TASKS_REST_URL is not set: give the base URL"):
        need(OPTIONS, Settings())
    with pytest.raises(CronTasksError, match=r"^no port is free on 127\.0\.0\.1"):
        free_port([])
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    options = Options(True, 1, 1, data=tmp_path, jobs=None, flower_port=5555)
    with pytest.raises(CronTasksError, match="is in use by another `cron-tasks up`"):
        up(options, Settings())
    os.close(lock)


@pytest.mark.parametrize(
    ("read_as", "spared"),
    [
        ("http://jobs.example.com /api/cronjobs/ {} UTC", True),
        ("http://127.0.0.1:8000 /api/cronjobs/ {} UTC", True),
        ("http://127.0.0.1:23456 /api/cronjobs/ {} UTC", False),
    ],
)
def test_the_demo_spares_the_jobs_of_a_real_service(
    redis: Redis, read_as: str, spared: bool
) -> None:
    spare_real_jobs(redis)
    redis.hset(names.SOURCE, "read_as", read_as)
    redis.hset(names.JOBS, "7", "fingerprint")
    if spared:
        with pytest.raises(CronTasksError, match=f"holds the jobs of {read_as.split()[0]}"):
            spare_real_jobs(redis)
    else:
        spare_real_jobs(redis)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def line(self, part: Part, text: str, ready: bool) -> None:
        self.told.append(text)

    def ready(self, part: Part, seconds: float, where: str | None) -> None:
        self.told.append(f"ready at {where}")

    def died(self, part: Part, how: str, last: str, pause: float) -> None:
        self.told.append(f"{how} {last} {pause}")

    def hangs(self, part: Part) -> None:
        self.told.append("hangs")


def shell(script: str, patience: float = 5.0) -> Part:
    return Part("part", lambda: ["sh", "-c", script], re.compile("up at (.*)"), {}, patience)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path) as found:
        yield found


def test_a_part_that_cannot_start_is_given_up_with_its_last_words(place: Home) -> None:
    listener = Listener()

    async def scenario() -> None:
        await Child(shell("echo no luck; echo; exit 3"), place, listener).start()

    with pytest.raises(CannotRun, match=r"^part ended \(exit 3\), 5 times in a row$") as caught:
        asyncio.run(scenario())
    assert list(caught.value.tail) == ["no luck", ""]
    pauses = [f"ended (exit 3) no luck {pause}" for pause in (0.2, 0.4, 0.8, 1.6)]
    assert [told for told in listener.told if told not in ("no luck", "")] == pauses


@pytest.mark.parametrize(
    ("script", "patience", "told"),
    [
        ("trap 'echo bye; exit 0' TERM; echo up at x; while :; do sleep 0.02; done", 5, "bye"),
        ("trap '' TERM; echo up at x; while :; do sleep 0.02; done", 0.2, "hangs"),
        ("echo up at x; sleep 60 & wait", 5, "ready at x"),
        ("setsid sleep 2 & echo up at x; wait", 5, "ready at x"),
    ],
)
def test_a_part_ends_by_sigterm_or_by_force(
    place: Home, script: str, patience: float, told: str
) -> None:
    listener = Listener()

    async def scenario() -> None:
        child = Child(shell(script, patience), place, listener)
        task = child.start()
        await asyncio.wait_for(child.ready.wait(), 5)
        await asyncio.wait_for(child.stop(), 5)
        assert task.done()

    asyncio.run(scenario())
    assert listener.told[-1] == told


def test_a_kill_ends_the_wait_for_a_part(place: Home) -> None:
    async def scenario() -> None:
        child = Child(
            shell("trap '' TERM; echo up at x; sleep 60 & wait; wait", 60), place, Listener()
        )
        child.start()
        await asyncio.wait_for(child.ready.wait(), 5)
        stopping = asyncio.create_task(child.stop())
        await asyncio.sleep(0.05)
        child.kill()
        await asyncio.wait_for(stopping, 5)

    asyncio.run(scenario())


def test_a_log_stays_within_bounds(place: Home) -> None:
    written = (LOGS_KEPT + 2) * LOG_BYTES
    script = (
        f"yes {'x' * 1000} | head -c {written}; head -c 100000 /dev/zero; echo; echo up at x; cat"
    )
    listener = Listener()

    async def scenario() -> None:
        child = Child(shell(f"({script}) ; sleep 60"), place, listener)
        child.start()
        await asyncio.wait_for(child.ready.wait(), 20)
        await child.stop()

    asyncio.run(scenario())
    sizes = {path.name: path.stat().st_size for path in place.logs.iterdir()}
    assert set(sizes) == {"part.log", "part.log.1", "part.log.2"}
    assert max(sizes.values()) < LOG_BYTES + 2 * LONGEST_LINE
    assert max(map(len, listener.told)) < 2 * LONGEST_LINE


def test_data_of_the_embedded_valkey_survives_a_restart(place: Home) -> None:
    port = free_port(range(30_000, 31_000))

    async def life(act: Callable[[Redis], object]) -> object:
        child = Child(valkey(port, place.valkey), place, Listener())
        child.start()
        await asyncio.wait_for(child.ready.wait(), 10)
        with Redis(port=port, decode_responses=True) as redis:
            result = act(redis)
        await child.stop()
        return result

    asyncio.run(life(lambda redis: redis.set("kept", "yes")))
    assert asyncio.run(life(lambda redis: redis.get("kept"))) == "yes"

    def configuration(redis: Redis) -> Mapping[str, str]:
        return redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")

    assert asyncio.run(life(configuration)) == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
    }


def test_the_guard_knows_who_is_left() -> None:
    assert guarded(["+5\n", "+61\n", "-5\n", "-7\n", "+8\n"]) == {61, 8}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "in 0 s"), (3.4, "in 3 s"), (61, "in 1 min"), (7300, "in 2 h"), (90_000, "in 1 day")],
)
def test_distance(seconds: float, text: str) -> None:
    assert distance(seconds) == text


def test_log_lines_are_told_in_short() -> None:
    event = {
        "timestamp": "t",
        "level": "error",
        "event": "sync.failing",
        "logger": "l",
        "detail": "x",
    }
    event["exception"] = "Traceback\n  File\nValueError: no\x1b"
    assert said(event) == "sync.failing  detail=x  ValueError: no\\x1b"
    assert counts({"added": 1200, "changed": 0, "removed": 2}) == "1,200 added, 2 removed"
    assert worth_telling(event, ready=False)
    assert worth_telling({"level": "warning"}, ready=True)
    assert not worth_telling({"level": "warning"}, ready=False)
    assert not worth_telling({"level": "warning", "logger": "py.warnings"}, ready=True)
    assert not worth_telling({"level": "info"}, ready=True)
