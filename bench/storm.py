"""Many `notify` jobs due at one instant: from that instant to the last notification on the queue.

Ours and stock Celery + RedBeat: one beat, one worker of two processes. APScheduler: one process of
two threads, its jobs in memory. Beside the time stands the CPU time from that instant on, of all
these processes and of Redis, for each job.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from helpers import wait_until
from processes import Celery, Process
from redis import Redis

from bench.report import cpu_seconds, seconds, table
from bench.stage import register, stage

RUNS = 5
QUEUE = "queue:to_telegram"
PEERS = Path(__file__).parent / "peers"


#: Seconds since the due time, and the CPU seconds from then on.
Cost = tuple[float, float]


def ours(celery: Celery, redis: Redis, count: int) -> Cost:
    redis.flushall()
    worker, beat = celery.worker(2), celery.beat()
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    due = float(int(time.time() + 8 + count / 10_000))
    moment = datetime.fromtimestamp(due, UTC).isoformat()
    register(redis, ({"id": n, "name": f"job {n}", "run_at": moment} for n in range(count)))
    assert time.time() < due, "registering took longer than the head start"
    pids = (worker.pid, beat.pid, redis.info("server")["process_id"])
    before = _cpu_at(due, *pids)
    wait_until(lambda: redis.llen(QUEUE) >= count, f"{count} notifications", 120)
    spent = cpu_seconds(*pids) - before
    done = max(
        datetime.fromisoformat(json.loads(message)["created_at"]).timestamp()
        for message in redis.lrange(QUEUE, -5000, -1)
    )
    for process in (worker, beat):
        process.kill()
    return done - due, spent


def _cpu_at(due: float, *pids: int) -> float:
    """Return the CPU seconds that these processes have used when the jobs become due."""
    time.sleep(max(0.0, due - time.time() - 0.05))
    return cpu_seconds(*pids)


def apscheduler(redis: Redis, url: str, count: int) -> Cost:
    redis.flushall()
    valkey = redis.info("server")["process_id"]
    before = cpu_seconds(valkey)
    command = [sys.executable, PEERS / "apscheduler_storm.py", str(count), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    taken, python = map(float, done.split())
    return taken, python + cpu_seconds(valkey) - before


def stock(redis: Redis, url: str, folder: Path, count: int) -> Cost:
    redis.flushall()
    env = {"STOCK_REDIS": url, "PYTHONPATH": str(PEERS)}
    started: list[Process] = []

    def start(*arguments: str) -> Process:
        command = [sys.executable, "-m", "celery", "-A", "stock_app", *arguments]
        process = Process(command, env, folder / f"stock-{arguments[0]}.log")
        started.append(process)
        return process

    try:
        worker = start("worker", "-c", "2", "-l", "INFO")
        worker.wait_for("ready")
        due = float(int(time.time() + 5 + count / 1500))
        register = [sys.executable, PEERS / "stock_app.py", str(count), str(due)]
        subprocess.run(register, env={**os.environ, **env}, check=True)
        assert time.time() < due - 2, "registering took longer than the head start"
        beat = start("beat", "-l", "WARNING")
        pids = (worker.pid, beat.pid, redis.info("server")["process_id"])
        before = _cpu_at(due, *pids)
        wait_until(lambda: redis.llen(QUEUE) >= count, f"{count} notifications", 180)
        spent = cpu_seconds(*pids) - before
        done = max(float(row.split()[1]) for row in redis.lrange(QUEUE, -5000, -1))
        return done - due, spent
    finally:
        for process in started:
            process.end()


def main() -> None:
    with stage() as on:
        _report(
            [
                ("cron_tasks", 10_000, lambda: ours(on.celery, on.redis, 10_000)),
                ("cron_tasks", 100_000, lambda: ours(on.celery, on.redis, 100_000)),
                ("APScheduler in memory", 10_000, lambda: apscheduler(on.redis, on.url, 10_000)),
                (
                    "stock Celery + RedBeat",
                    10_000,
                    lambda: stock(on.redis, on.url, on.folder, 10_000),
                ),
            ]
        )


def _report(measures: list[tuple[str, int, Callable[[], Cost]]]) -> None:
    # In turns: the machine's speed varies.
    rounds = [[run() for _, _, run in measures] for _ in range(RUNS)]
    medians = [tuple(map(median, zip(*costs, strict=True))) for costs in zip(*rounds, strict=True)]
    ours_10k, ours_100k = medians[0][0], medians[1][0]
    rows = []
    for (what, n, _), (taken, cpu) in zip(measures, medians, strict=True):
        rate, each, ratio = f"{n / taken:,.0f}", f"{cpu / n * 1e6:.0f} µs", taken / ours_10k
        rows.append((what, f"{n:,}", seconds(taken), rate, each, f"{ratio:.1f}x"))
    head = ("what", "jobs", "due to last notification", "jobs/s", "CPU of a job", "against ours")
    table(head, rows)
    print(f"\n10x the jobs take {ours_100k / ours_10k:.1f}x the time")
