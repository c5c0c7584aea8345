"""`cron-tasks up` as a person runs it: it keeps its parts running, and stops them."""

import argparse
import asyncio
import fcntl
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from command_line import CommandLine
from helpers import PATIENCE, free_port, wait_until
from processes import Process
from redis import Redis
from redis.exceptions import AuthenticationError
from rest_server import RestServer

from cron_tasks.errors import CronTasksError
from cron_tasks.local.child import LOG_BYTES, LOGS_KEPT, LONGEST_LINE, Child, Part
from cron_tasks.local.home import Home, open_home
from cron_tasks.local.narrator import Narrator, format_line, is_worth_showing
from cron_tasks.local.parts import (
    REDIS_PASSWORD,
    check_requirements,
    flower_login,
    valkey_part,
)
from cron_tasks.local.private import ensure_password, make_private
from cron_tasks.local.system import run_system
from cron_tasks.settings import Settings, load
from cron_tasks.store import keys
from cron_tasks.text.display import cell_width

COMMAND = [str(Path(sys.executable).with_name("cron-tasks")), "up"]
HELLO = {"id": 1, "name": "Hello", "every": 1}


@contextmanager
def running(tmp_path: Path, *options: str, **env: str) -> Iterator[Process]:
    """Run `cron-tasks up` in an empty folder, with only `env` set."""
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
    return not any(map(lives, processes))


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # It has ended in between.
        return False


def end_soon(processes: list[psutil.Process]) -> None:
    """Check that processes have ended. One that was just killed may take a moment."""
    wait_until(lambda: gone(processes), "the end of all processes", 10)


def main_process(members: list[psutil.Process], part: str) -> psutil.Process:
    mains = [each for each in members if os.getpgid(each.pid) == each.pid]
    return next(each for each in mains if part in " ".join(each.cmdline()))


def another_terminal_works(process: Process, folder: Path) -> None:
    """Check that doctor finds nothing wrong with only the variables that are shown."""
    shown = dict(re.findall(r"export CRON_TASKS_(\w+)=(\S+)", process.output))
    command = CommandLine(folder, **shown)

    def is_well() -> bool:
        """A busy worker may not answer doctor in time."""
        done = command.attempt("doctor")
        return done.returncode == 0 and not re.search("^(warn|fail)", done.stdout, re.M)

    wait_until(is_well, "doctor")


def doors_are_closed(process: Process, data: Path) -> None:
    """Check that Valkey and Flower require the printed passwords, which nobody else can read."""
    for path in (data, *data.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    (url,) = re.findall(r"export CRON_TASKS_REDIS_URL=(redis://\S+)", process.output)
    with Redis.from_url(url) as redis:
        assert redis.ping()
        port = redis.connection_pool.connection_kwargs["port"]
    with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    (page,) = re.findall(r"flower +(http://me:\S+)", process.output)
    assert requests.get(f"{page}/workers", timeout=PATIENCE).status_code == 200
    rebound = {"Host": "evil.example"}
    assert requests.get(f"{page}/workers", timeout=PATIENCE, headers=rebound).status_code == 403
    bare = re.sub("//.*@", "//", page)
    assert requests.get(f"{bare}/workers", timeout=PATIENCE).status_code == 401
    commands = str([each.cmdline() for each in family(process)])
    for name in ("redis-password", "flower-password"):
        password = (data / name).read_text().strip()
        assert password in process.output
        assert password not in commands
    shown = process.output.partition("valkey    ready")[0].splitlines()
    assert all(len(line) <= 80 for line in shown if str(data) not in line)


def edits_by_rest_count_at_once(demo: Process) -> None:
    """Run the curl commands of the README, the first of which the demo prints."""
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    commands = re.findall(r"^    (curl .*)$", readme, re.M)
    assert f"\n  {commands[0]}\n" in demo.output
    (service,) = re.findall(r"export CRON_TASKS_REST_URL=(\S+)", demo.output)
    job_id = ""
    for command, done in zip(commands, ("1 added", "1 changed", "1 removed"), strict=True):
        before = demo.output.count(f"jobs      {done}")
        words = command.replace("$CRON_TASKS_REST_URL", service).replace("/8", f"/{job_id}")
        options = argparse.ArgumentParser()
        options.add_argument("url")
        options.add_argument("-X", default="POST")
        options.add_argument("--json", default="null")
        given = options.parse_args(shlex.split(words)[1:])
        answer = requests.request(given.X, given.url, json=json.loads(given.json), timeout=PATIENCE)
        assert answer.ok, answer.text
        job_id = job_id or answer.json()["id"]
        wait_until(lambda n=before, text=done: demo.output.count(f"jobs      {text}") > n, done)


def test_the_demo_from_the_first_notification_to_ctrl_c(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    jobs = data / "jobs.json"
    jobs.write_text(json.dumps([HELLO]))
    jobs.chmod(0o644)
    # No sync comes by itself, so an edit counts because of its poke.
    env = {"COLUMNS": "80", "CRON_TASKS_SYNC_INTERVAL": "3600"}
    with running(tmp_path, "--demo", f"--data={data}", **env) as demo:
        demo.wait_for("Scheduled task: Hello")
        demo.wait_for("All ready")
        demo.wait_for("Every second")
        doors_are_closed(demo, data)
        another_terminal_works(demo, tmp_path)

        jobs.write_text(json.dumps([HELLO | {"name": "Edited"}]))
        demo.wait_for("Scheduled task: Edited")
        edits_by_rest_count_at_once(demo)
        lines = demo.output.splitlines()
        shown = [line for line in lines if str(data) not in line and "PATH=" not in line]
        assert max(map(len, shown)) <= 80, shown

        members = family(demo)
        worker = main_process(members, "worker1@")
        pool = worker.children()
        worker.kill()
        demo.wait_for("was killed (SIGKILL); starts again in 0.2 s")
        wait_until(lambda: demo.output.count("worker1   ready") == 2, "worker1's second life")
        end_soon([worker, *pool])

        logs = {path.name for path in (data / "logs").iterdir()}
        parts = ["valkey", "rest", "beat", "worker1", "worker2", "bot", "flower"]
        assert logs == {f"{part}.log" for part in parts}
        for noise in ("\x1b", "celery@", "Traceback", "[config]", '{"timestamp"'):
            assert noise not in demo.output

        members += family(demo)
        demo.signal(signal.SIGINT)
        assert demo.popen.wait(PATIENCE) == 0, demo.output
        end_soon(members)
        assert list((tmp_path / "tmp").iterdir()) == []


def test_with_given_servers_until_killed(
    tmp_path: Path, redis: Redis, redis_url: str, rest: RestServer
) -> None:
    rest.jobs = [HELLO]
    env = {"CRON_TASKS_REDIS_URL": redis_url, "CRON_TASKS_REST_URL": rest.url}
    with running(tmp_path, "--workers=1", **env) as process:
        wait_until(lambda: redis.llen("queue:to_telegram"), "a notification")
        process.wait_for("All ready")
        process.wait_for("✓ Hello  ok after ")
        assert f"export CRON_TASKS_REST_URL={rest.url}\n" in process.output
        members = family(process)
        assert not any("valkey" in each.name() for each in members)
        flower = re.findall(r"ready in .* http://127\.0\.0\.1:\d+", process.output)
        assert len(flower) == 1
        process.signal(signal.SIGKILL)
        wait_until(lambda: gone(members), "the end of all that it had started")
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()), "the end of its folder")


def test_what_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CronTasksError, match=r"^CRON_TASKS_REST_URL is not set: give the base URL"):
        check_requirements(False, Settings())
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(CronTasksError, match="is in use by another `cron-tasks up`"):
        run_system(Settings(), demo=True, workers=1, data=tmp_path)
    os.close(lock)


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o077 for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("ours", ["jobs.json", "logs", "valkey"])
def test_a_folder_that_others_can_read_is_tightened(tmp_path: Path, ours: str) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").touch(0o666)
    (folder / "deep").rename(folder / ours)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    with open_home(folder) as place:
        assert place.password("password")
        assert modes(folder) == {0}
        (folder / "new").touch(0o666)
        assert modes(folder) == {0}


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    strange = tmp_path
    if os.geteuid() == 0:
        os.chown(strange, 65_534, -1)
    else:
        strange = Path("/usr")
    with pytest.raises(CronTasksError, match="belongs to another user"):
        make_private(strange)


@pytest.mark.parametrize(("mode", "held"), [(0o755, "letters"), (0o1777, "logs")])
def test_a_folder_that_others_use_is_left_alone(tmp_path: Path, mode: int, held: str) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / held).touch()
    shared.chmod(mode)
    with pytest.raises(CronTasksError, match=r"Other users can access .*, .* run `chmod 700 "):
        make_private(shared)
    assert shared.stat().st_mode & 0o7777 == mode
    shared.chmod(0o700)
    make_private(shared)


def test_a_password_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "password"
    first = ensure_password(path)
    assert len(first) == 16
    path.chmod(0o644)
    assert ensure_password(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("")
    assert ensure_password(path) != first
    assert ensure_password(tmp_path / "other") != ensure_password(path)


def test_a_login_in_the_environment_is_used(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert flower_login(place) == f"me:{place.password('flower-password')}"
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "")
    assert flower_login(place)
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "ann:secret")
    assert not flower_login(place)


def test_the_demo_spares_the_jobs_of_a_real_service(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.hset(keys.SOURCE, "read_as", "http://jobs.example.com /api/cronjobs/ {} UTC")
    monkeypatch.setenv("CRON_TASKS_REDIS_URL", redis_url)
    load.cache_clear()  # whoever imported the Celery app has loaded the settings
    with pytest.raises(
        CronTasksError, match=r"replace the jobs of http://jobs\.example\.com/api/cronjobs/ in"
    ):
        run_system(load(), demo=True, workers=1, data=None)
    load.cache_clear()


def shell(script: str, patience: float = 5.0) -> Part:
    return Part("part", ["sh", "-c", script], "up at (.*)", {}, patience)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    with open_home(tmp_path) as found:
        yield found


def test_a_part_that_cannot_start_is_given_up_with_its_last_lines(
    place: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cron_tasks.local.child.FIRST_PAUSE", 0.01)

    async def scenario() -> None:
        await Child(shell("echo no luck; exit 3"), place, Narrator()).start()

    with pytest.raises(CronTasksError, match=r"^part ended \(exit 3\), 5 times in a row$"):
        asyncio.run(scenario())
    again = [
        f"  part      ended (exit 3); starts again in {it} s" for it in (0.01, 0.02, 0.04, 0.08)
    ]
    assert capsys.readouterr().out.splitlines() == [*again, "  part      no luck"]


@pytest.mark.parametrize(
    ("script", "patience", "shown"),
    [
        (
            "trap 'echo bye; exit 0' TERM; echo up at x; while :; do sleep 0.02; done",
            PATIENCE,
            "bye",
        ),
        (
            "trap '' TERM; echo up at x; while :; do sleep 0.02; done",
            0.2,
            "did not end within 0.2 s",
        ),
        ("echo up at x; sleep 60 & wait", 5, "ready in"),
        ("setsid sleep 2 & echo up at x; wait", 5, "ready in"),
    ],
)
def test_a_part_ends_by_sigterm_or_by_force(
    place: Home, capsys: pytest.CaptureFixture[str], script: str, patience: float, shown: str
) -> None:
    async def scenario() -> None:
        child = Child(shell(script, patience), place, Narrator())
        task = child.start()
        await asyncio.wait_for(child.ready.wait(), PATIENCE)
        await asyncio.wait_for(child.stop(), PATIENCE)
        assert task.done()

    asyncio.run(scenario())
    log = (place.folder / "logs" / "part.log").read_text()
    assert shown in log.splitlines()[-1] + capsys.readouterr().out


def test_a_log_stays_within_bounds(place: Home) -> None:
    written = (LOGS_KEPT + 2) * LOG_BYTES
    script = (
        f"yes {'x' * 1000} | head -c {written}; head -c 100000 /dev/zero; echo; echo up at x; cat"
    )

    async def scenario() -> None:
        child = Child(shell(f"({script}) ; sleep 60"), place, Narrator())
        child.start()
        await asyncio.wait_for(child.ready.wait(), PATIENCE)
        await child.stop()

    asyncio.run(scenario())
    sizes = {path.name: path.stat().st_size for path in (place.folder / "logs").iterdir()}
    assert set(sizes) == {"part.log", "part.log.1", "part.log.2"}
    assert max(sizes.values()) < LOG_BYTES + 2 * LONGEST_LINE


def test_data_of_the_embedded_valkey_survives_a_restart(place: Home) -> None:
    port = free_port()

    async def life(act: Callable[[Redis], object]) -> object:
        child = Child(valkey_part(port, place), place, Narrator())
        child.start()
        await asyncio.wait_for(child.ready.wait(), PATIENCE)
        password = place.password(REDIS_PASSWORD)
        with Redis(port=port, password=password, decode_responses=True) as redis:
            result = act(redis)
        await child.stop()
        return result

    asyncio.run(life(lambda redis: redis.set("kept", "yes")))
    assert asyncio.run(life(lambda redis: redis.get("kept"))) == "yes"

    def configuration(redis: Redis) -> Mapping[str, str]:
        names = "appendonly", "appendfsync", "maxmemory-policy", "hash-max-listpack-value", "bind"
        return redis.config_get(*names)

    assert asyncio.run(life(configuration)) == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "hash-max-listpack-value": "512",
        "bind": "127.0.0.1",
    }


def test_log_lines_are_shown_in_short() -> None:
    event = {"timestamp": "t", "level": "error", "event": "sync.failing", "logger": "l"}
    event |= {"detail": "x", "exception": "Traceback\n  File\nValueError: no\x1b"}
    assert format_line(json.dumps(event)) == "sync.failing  detail=x  ValueError: no\\x1b"
    assert format_line("any \x1b line") == "any \\x1b line"
    assert is_worth_showing(event, is_ready=False)
    assert is_worth_showing({"level": "warning"}, is_ready=True)
    assert not is_worth_showing({"level": "warning"}, is_ready=False)
    assert not is_worth_showing({"level": "warning", "logger": "py.warnings"}, is_ready=True)
    assert not is_worth_showing({"level": "info"}, is_ready=True)


def test_a_run_is_one_line_that_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"status": "failed", "finished_at": "2026-11-23T09:00:00+00:00", "duration": 0.0}
    run |= {"attempt": 2, "reason": None, "error": "HTTP 503 " + "x" * 300}
    monkeypatch.setenv("COLUMNS", "80")
    narrator = Narrator(shows_runs=True)
    for name in ("水やり" * 20, "a" * 200, "Hello"):
        narrator.show_run(run, name)
        narrator.show_run(run | {"status": "ok", "error": None}, name)
        narrator.show_run(run | {"status": "missed", "reason": "coalesced"}, name)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert all(cell_width(line) <= 80 for line in lines)
    assert lines[-2].endswith(" ✓ Hello  ok after <1 ms at attempt 2")
    assert " ✗ aaaa" in lines[3]
    assert "– Hello  missed after" in lines[-1]
    line = '{"event": "run.finished", "level": "warning", "error": "HTTP 503"}'
    narrator.show_line("worker1", line, True, False)
    assert capsys.readouterr().out == ""
    Narrator().show_line("worker1", line.replace("HTTP 503", "word " * 40), True, False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert all(cell_width(line) <= 80 for line in lines)
