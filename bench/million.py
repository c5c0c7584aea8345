"""A million jobs: syncs of the list, the commands that walk all jobs, and what each takes.

CRON_TASKS_BENCH_JOBS is another number of jobs.
"""

import io
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from processes import celery_processes
from redis import Redis

from bench.account import live_a_day
from bench.reconcile import serve
from bench.report import seconds, table
from bench.stage import start_valkey
from cron_tasks.store import keys
from cron_tasks.store.client import connect

JOBS = int(os.environ.get("CRON_TASKS_BENCH_JOBS", "1000000"))
#: A command has shown its first page when it has printed so many lines.
PAGE = 20
#: Seconds in which a new beat compares the registry and reads its first ticks.
SETTLED = 15
COMMANDS = (("jobs", "list"), ("jobs", "list", "--json"))


class Cost(NamedTuple):
    """Seconds until the first page (None: not measured) and the end, CPU seconds, peak MB."""

    first: float | None
    wall: float
    cpu: float
    redis: float
    peak: float

    def row(self, what: str) -> tuple[str, ...]:
        first = "" if self.first is None else seconds(self.first)
        spent = (seconds(each) for each in (self.wall, self.cpu, self.redis))
        return (what, first, *spent, f"{self.peak:.0f} MB")


def cpu_of(redis: Redis) -> float:
    spent = redis.info("cpu")
    return float(spent["used_cpu_sys"] + spent["used_cpu_user"])


def list_of_jobs() -> bytes:
    """The list as JSON. Not made of a list: a process inherits the peak memory of its parent."""
    body = io.BytesIO()
    for n in range(JOBS):
        expression = f"{n % 60} {n // 60 % 24} * * *"
        row = {"id": n, "name": f"job {n}", "cron_expression": expression}
        body.write((b"," if n else b"[") + json.dumps(row).encode())
    return body.getvalue() + b"]"


def _sync(redis_url: str, port: int, pipe: Connection) -> None:
    from cron_tasks.settings import Settings
    from cron_tasks.sync.reconciler import Reconciler

    redis = connect(redis_url)
    settings = Settings(redis_url=redis_url, rest_url=f"http://127.0.0.1:{port}", chat_id=1)
    reconciler, before = Reconciler(redis, settings), cpu_of(redis)
    begun = time.perf_counter()
    report = reconciler.sync(time.time)
    taken = time.perf_counter() - begun
    assert report is not None
    assert report.state == "ok", report.detail
    spent = resource.getrusage(resource.RUSAGE_SELF)
    cpu, peak = spent.ru_utime + spent.ru_stime, spent.ru_maxrss / 1024
    pipe.send(Cost(None, taken, cpu, cpu_of(redis) - before, peak))


def sync(redis_url: str, port: int) -> Cost:
    """The cost of one sync in a fresh process. Its CPU includes the start of the process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_sync, args=(redis_url, port, theirs)
    )
    process.start()
    found: Cost = ours.recv()
    process.join()
    return found


def _live_a_day(redis_url: str) -> None:
    with connect(redis_url, timeout=60) as redis:
        live_a_day(redis, JOBS, float(int(time.time())))


def run(redis: Redis, env: dict[str, str], *command: str) -> Cost:
    """The cost of a command whose output goes into a pipe, which is read at once."""
    script, before = Path(sys.executable).with_name("cron-tasks"), cpu_of(redis)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [script, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    )
    assert process.stdout is not None
    first = None
    for number, _ in enumerate(process.stdout, 1):
        if number == PAGE:
            first = time.perf_counter() - begun
    _, _, spent = os.wait4(process.pid, 0)
    process.returncode = 0
    wall, cpu = time.perf_counter() - begun, spent.ru_utime + spent.ru_stime
    return Cost(first, wall, cpu, cpu_of(redis) - before, spent.ru_maxrss / 1024)


def main() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, True), daemon=True)
    server.start()
    port = ours.recv()
    ours.send_bytes(list_of_jobs())
    ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        valkey = start_valkey(Path(folder))
        try:
            with connect(valkey.url, timeout=60) as redis:
                heading = ("what", "first page", "time", "CPU", "CPU of Redis", "peak memory")
                table(heading, _measure(redis, valkey.url, port))
        finally:
            valkey.stop()
            server.terminate()
            server.join()


def _measure(redis: Redis, url: str, port: int) -> Iterator[tuple[str, ...]]:
    env = {
        "CRON_TASKS_REDIS_URL": url,
        "CRON_TASKS_REST_URL": f"http://127.0.0.1:{port}",
        "CRON_TASKS_CHAT_ID": "1",
    }
    empty = redis.info("memory")["used_memory"]
    yield sync(url, port).row(f"cold sync of {JOBS:,} jobs")
    used = redis.info("memory")["used_memory"] - empty
    redis.hdel(keys.SOURCE, "etag", "last_modified")
    yield sync(url, port).row("unchanged sync")
    yield sync(url, port).row("sync, 304")
    for command in COMMANDS:
        yield run(redis, env, *command).row(" ".join(command))
    with tempfile.TemporaryDirectory() as folder, celery_processes(env, Path(folder)) as celery:
        # Without a worker, doctor would wait for one.
        celery.worker(2).wait_for("ready")
        celery.beat().wait_for("beat.leading")
        time.sleep(SETTLED)
        yield run(redis, env, "doctor").row("doctor, with beat and a worker")
    # Apart, since a command inherits the peak memory of this process.
    living = multiprocessing.get_context("spawn").Process(target=_live_a_day, args=(url,))
    living.start()
    living.join()
    yield run(redis, env, "audit").row("audit of a day, hourly jobs")
    yield ("a job in Redis", "", "", "", "", f"{used / JOBS:.0f} bytes")
