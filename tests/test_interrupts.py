"""Actions that do not end, or end in odd ways, on real workers of processes and of threads."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers import NEVER_DUE, PATIENCE, ended_runs, wait_until
from plug_ins import install
from processes import Celery, Process
from redis import Redis
from rest_server import RestServer
from test_policies import ended, run

from cron_tasks.ledger.ledger import LEASE, Ledger
from cron_tasks.settings import Settings
from cron_tasks.store import keys

MISBEHAVE = """
import asyncio, os, re, signal, sys, time
from pathlib import Path
from cron_tasks.plugins import ActionFailed, CustomAction

kept = []

class Own(BaseException):
    def __str__(self):
        raise SystemExit

class Careless(ActionFailed):
    def __init__(self, text):
        Exception.__init__(self, text)

class Unreadable(ActionFailed):
    @property
    def permanent(self):
        raise KeyboardInterrupt
    @permanent.setter
    def permanent(self, _):
        pass

class Misbehave(CustomAction):
    how: str
    pids: str

    def perform(self, run, settings):
        before = Path(self.pids, run.job.id)
        stat = before.exists() and Path("/proc", before.read_text(), "stat")
        alive = stat and stat.exists() and ") Z " not in stat.read_text()
        before.write_text(str(os.getpid()))
        if alive:
            raise ActionFailed("the process of the attempt before lives", permanent=True)
        return getattr(self, self.how)()

    def ok(self):
        return {"done": [1, b"two", {3}]}

    def backtrack(self):
        re.match("(a+)+$", "a" * 60 + "b")  # holds Python's global lock for years

    def sleep(self):
        time.sleep(100)  # until the worker ends it

    def hold(self):
        while not Path(self.pids, "released").exists():
            time.sleep(0.02)

    def freeze(self):
        os.kill(os.getpid(), signal.SIGSTOP)

    def stubborn(self):
        while True:
            try:
                time.sleep(0.1)
            except BaseException:
                pass

    def swallow(self):
        try:
            time.sleep(100)  # until the worker ends it
        except BaseException:
            return "as if it were done"

    def leak(self):
        while True:
            kept.append(os.open("/dev/null", os.O_RDONLY))

    def hoard(self):
        try:
            self.leak()
        except OSError:
            return None

    def exit(self):
        raise SystemExit(3)

    def cancelled(self):
        raise asyncio.CancelledError

    def generator(self):
        raise GeneratorExit("left")

    def keyboard(self):
        raise KeyboardInterrupt

    def own(self):
        raise Own

    def group(self):
        raise BaseExceptionGroup("several", [SystemExit(1), ValueError("x")])

    def recursion(self):
        return self.recursion()

    def memory(self):
        raise MemoryError

    def odd(self):
        raise ActionFailed("odd", permanent=False, retry_after="soon", output={"a": 1})

    def careless(self):
        raise Careless("left out")

    def unreadable(self):
        raise Unreadable("x", permanent=True)

    def unstarted(self):
        return (each for each in "work")

    def mute(self):
        return {"done": Own()}

    def fork(self):
        if pid := os.fork():
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        raise SystemExit(3)

    def key(self):
        return {}["oops"]

class Waiting(Misbehave):
    async def perform(self, run, settings):
        found = super().perform(run, settings)
        return await found if hasattr(found, "__await__") else found

    async def nap(self):
        await asyncio.sleep(100)

    async def cling(self):
        while True:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                pass

    async def claim_done(self):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return "as if it were done"

    async def stop_loop(self):
        loop = asyncio.get_running_loop()
        loop.call_soon(sys.exit, 5)
        loop.create_task(self.leave())
        await asyncio.sleep(0.1)
        loop.stop()
        await asyncio.sleep(0.1)
        return "done"

    async def cancel_itself(self):
        asyncio.current_task().cancel()
        return "done"

    async def leave(self):
        raise SystemExit(4)

    async def calm(self):
        await asyncio.sleep(3)
        return "done"
"""
RAISED = {
    "exit": "SystemExit: 3",
    "cancelled": "CancelledError",
    "generator": "GeneratorExit: left",
    "keyboard": "KeyboardInterrupt",
    "own": "Own: its text cannot be shown",
    "group": "BaseExceptionGroup: several (2 sub-exceptions)",
    "recursion": "RecursionError: maximum recursion depth exceeded",
    "memory": "MemoryError",
    "odd": "odd",
    "careless": "left out",
    "unreadable": "Unreadable: it cannot be shown",
    "unstarted": "TypeError: perform returned a generator, which does nothing by itself",
    "key": "KeyError: 'oops'",
}


class System:
    """A beat and a worker that have the action `misbehave`."""

    def __init__(self, celery: Celery, rest: RestServer, redis: Redis, folder: Path) -> None:
        self.celery, self.rest, self.redis, self.folder = celery, rest, redis, folder
        points = ("misbehave = misbehave:Misbehave", "waiting = misbehave:Waiting")
        install(folder, "misbehave", MISBEHAVE, *points)
        self.env = {"PYTHONPATH": str(folder)}
        self.kind = "misbehave"

    def start(self, concurrency: int, *options: str, **hows: dict[str, Any]) -> Process:
        """Start both with a job for each of `hows`, a dict of its fields, and run them all."""
        pids = self.folder / "pids"
        pids.mkdir()
        self.rest.jobs = [
            {"id": how, "name": how, **NEVER_DUE, **fields}
            | {"action": {"type": self.kind, "how": how, "pids": str(pids)}}
            for how, fields in hows.items()
        ]
        worker = self.celery.worker(concurrency, *options, **self.env)
        self.celery.beat(**self.env)
        run(self.redis, *hows)
        return worker

    def pid(self, job_id: str) -> int:
        """Return the process that runs a job, once it does."""
        path = self.folder / "pids" / job_id
        return int(wait_until(lambda: path.exists() and path.read_text(), f"{job_id} to run"))

    def release(self) -> None:
        """Let the held runs end."""
        (self.folder / "pids" / "released").touch()

    def ended(self, job_id: str) -> tuple[str, str | None]:
        line = ended(self.redis, job_id)
        return line["status"], line["error"] or line["reason"]


def dead(pid: int) -> bool:
    """Return whether a process has ended. Celery may not have noticed yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def system(celery: Celery, rest: RestServer, redis: Redis, tmp_path: Path) -> System:
    return System(celery, rest, redis, tmp_path)


def test_what_does_not_end_is_killed_and_nothing_runs_beside_it(
    redis: Redis, system: System
) -> None:
    """One run outlives the lease that its own process cannot renew, and is retried."""
    again = {"max_attempts": 2, "backoff": 0}
    worker = system.start(
        3,
        backtrack={"timeout": LEASE / 2, "retry": again},
        freeze={"timeout": 1},
        swallow={"timeout": 1},
        stubborn={"timeout": 300},
    )
    frozen, stubborn = system.pid("freeze"), system.pid("stubborn")
    assert system.ended("swallow") == ("failed", "timed out after 1 s")
    (run_id,) = [each for each in redis.hkeys(keys.OPEN) if each.startswith("stubborn")]
    os.kill(stubborn, signal.SIGSTOP)
    Ledger(redis, Settings()).stop([run_id], "cancelled|")
    assert system.ended("freeze") == ("failed", "timed out after 1 s")
    assert dead(frozen)
    assert system.ended("stubborn") == ("skipped", "cancelled")
    assert dead(stubborn)
    assert system.ended("backtrack") == ("failed", "timed out after 7.5 s")
    line = ended(redis, "backtrack")
    assert [each["error"] for each in line["attempts"]] == ["timed out after 7.5 s"]
    assert line["worker"].startswith("w0@test/")
    assert worker.alive


def test_a_worker_that_is_to_end_ends_what_does_not(system: System) -> None:
    worker = system.start(1, backtrack={"timeout": 4})
    system.pid("backtrack")
    worker.signal(signal.SIGTERM)
    assert system.ended("backtrack") == ("failed", "timed out after 4 s")
    worker.popen.wait(PATIENCE)


@pytest.mark.parametrize("kind", ["misbehave", "waiting"])
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_whatever_an_action_raises_ends_its_run(
    pool: str, kind: str, redis: Redis, system: System
) -> None:
    system.kind = kind
    returned = {"ok": '{"done": [1, "two", "{3}"]}', "fork": "3"}
    returned["mute"] = "<an output that cannot be shown: SystemExit>"
    worker = system.start(1, "--pool", pool, **{how: {} for how in (*RAISED, *returned)})
    for how, error in RAISED.items():
        status, found = system.ended(how)
        assert (status, str(found)[: len(error)]) == ("failed", error)
    assert ended(redis, "odd")["output"] == '{"a": 1}'
    for how, output in returned.items():
        assert system.ended(how) == ("ok", None)
        assert ended(redis, how)["output"] == output
    assert worker.alive
    assert "WorkerLostError" not in worker.output


def test_a_worker_of_threads_leaves_service_when_one_hangs(redis: Redis, system: System) -> None:
    """Its other runs end well first. The run that hangs stays open as long as its thread runs."""
    worker = system.start(2, "--pool", "threads", stubborn={"timeout": 1}, hold={})
    worker.wait_for('"worker.leaves"')
    system.release()
    assert system.ended("hold") == ("ok", None)
    assert system.ended("stubborn") == ("failed", "timed out after 1 s")
    assert worker.popen.wait(PATIENCE) == 70
    records = map(json.loads, redis.lrange(keys.RECENT, 0, -1))
    jobs = [record["run_id"].partition("@")[0] for record in records]
    assert jobs == ["stubborn", "hold"]


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_coroutine_is_asked_to_end(pool: str, redis: Redis, system: System) -> None:
    """Its return value does not matter, and the coroutines beside it continue."""
    system.kind = "waiting"
    one = {"timeout": 1}
    others: dict[str, Any] = {"calm": {}, "ok": {}, "stop_loop": {}, "cancel_itself": {}}
    system.start(1, "--pool", pool, nap=one, claim_done=one, **others)
    assert system.ended("nap") == ("failed", "timed out after 1 s")
    assert system.ended("claim_done") == ("failed", "timed out after 1 s")
    assert system.ended("calm") == ("ok", None)
    assert ended(redis, "calm")["output"] == "done"
    assert system.ended("ok") == ("ok", None)
    assert system.ended("stop_loop") == ("ok", None)
    assert system.ended("cancel_itself") == ("failed", "CancelledError")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_coroutine_that_does_not_end_takes_its_process_out_of_service(
    pool: str, redis: Redis, system: System
) -> None:
    """Its run keeps its lease until the process ends, and those beside it end before."""
    system.kind = "waiting"
    worker = system.start(1, "--pool", pool, cling={"timeout": 1}, calm={})
    assert system.ended("calm") == ("ok", None)
    assert system.ended("cling") == ("failed", "timed out after 1 s")
    wait_until(lambda: '"worker.leaves"' in worker.output, "it to leave")
    if pool == "threads":
        assert worker.popen.wait(PATIENCE) == 70
    else:
        pid = system.pid("cling")
        wait_until(lambda: dead(pid), "the process to end")
        assert worker.alive


@pytest.mark.parametrize("how", ["sleep", "backtrack"])
def test_a_coroutine_that_blocks_the_loop_ends_its_process(how: str, system: System) -> None:
    """A sleep blocks only the event loop, and a backtracking expression the whole process."""
    system.kind = "waiting"
    worker = system.start(1, **{how: {"timeout": 1}})
    pid = system.pid(how)
    assert system.ended(how) == ("failed", "timed out after 1 s")
    wait_until(lambda: dead(pid), "the process to end")
    assert worker.alive


@pytest.mark.parametrize(
    ("how", "end"),
    [("leak", ("failed", "OSError: [Errno 24] Too many o")), ("hoard", ("ok", "None"))],
)
def test_a_process_without_file_descriptors_leaves_service(
    how: str, end: tuple[str, str], redis: Redis, system: System
) -> None:
    """One fails at once. Another one's action ends well before it takes the next run."""
    worker = system.start(1, **{how: {}})
    status, error = system.ended(how)
    assert (status, str(error)[:30]) == end
    other = system.rest.jobs[0]
    system.rest.jobs.append(other | {"id": "ok", "action": other["action"] | {"how": "ok"}})
    redis.lpush(keys.POKE, "*")
    run(redis, "ok")
    assert system.ended("ok") == ("ok", None)
    assert system.pid("ok") != system.pid(how)
    assert worker.output.count('"worker.leaves"') == 1
    assert worker.alive


def test_a_worker_of_threads_without_file_descriptors_ends(system: System) -> None:
    worker = system.start(2, "--pool", "threads", leak={})
    assert system.ended("leak")[0] == "failed"
    worker.popen.wait(PATIENCE)
    assert '"worker.leaves"' in worker.output


def test_a_process_that_is_replaced_after_each_message_loses_no_run(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    worker = celery.worker(2, "--max-tasks-per-child", "1", "--max-memory-per-child", "1")
    celery.beat()
    wait_until(lambda: redis.exists(keys.GENERATION), "the first sync")
    ids = [str(number) for number in range(9)]
    rest.jobs = [{"id": each, "name": "x", **NEVER_DUE} for each in ids]
    redis.lpush(keys.POKE, "*")
    for each in ids:
        run(redis, each)
        ended(redis, each)
    lines = ended_runs(redis)
    assert len(lines) == len(ids)
    assert {line["status"] for line in lines} == {"ok"}
    assert len({line["worker"] for line in lines}) > 4
    assert worker.alive
