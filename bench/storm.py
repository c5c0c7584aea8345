"""Many `notify` jobs due at one instant: from that instant to the last notification on the queue.

Ours and stock Celery + RedBeat: one beat, one worker of two processes. APScheduler: one process of
two threads, its jobs in memory.
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

from bench.report import seconds, table
from bench.stage import register, stage

RUNS = 5
QUEUE = "queue:to_telegram"
PEERS = Path(__file__).parent / "peers"


def ours(celery: Celery, redis: Redis, count: int) -> float:
    redis.flushall()
    worker, beat = celery.worker(2), celery.beat()
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    due = float(int(time.time() + 8 + count / 10_000))
    moment = datetime.fromtimestamp(due, UTC).isoformat()
    register(redis, ({"id": n, "name": f"job {n}", "run_at": moment} for n in range(count)))
    assert time.time() < due, "registering took longer than the head start"
    wait_until(lambda: redis.llen(QUEUE) >= count, f"{count} notifications", 120)
    done = max(
        datetime.fromisoformat(json.loads(message)["created_at"]).timestamp()
        for message in redis.lrange(QUEUE, -5000, -1)
    )
    for process in (worker, beat):
        process.kill()
    return done - due


def apscheduler(redis: Redis, url: str, count: int) -> float:
    redis.flushall()
    command = [sys.executable, PEERS / "apscheduler_storm.py", str(count), url]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def stock(redis: Redis, url: str, folder: Path, count: int) -> float:
    redis.flushall()
    env = {"STOCK_REDIS": url, "PYTHONPATH": str(PEERS)}
    started: list[Process] = []

    def start(*arguments: str) -> Process:
        command = [sys.executable, "-m", "celery", "-A", "stock_app", *arguments]
        process = Process(command, env, folder / f"stock-{arguments[0]}.log")
        started.append(process)
        return process

    try:
        start("worker", "-c", "2", "-l", "INFO").wait_for("ready")
        due = float(int(time.time() + 5 + count / 1500))
        register = [sys.executable, PEERS / "stock_app.py", str(count), str(due)]
        subprocess.run(register, env={**os.environ, **env}, check=True)
        assert time.time() < due - 2, "registering took longer than the head start"
        start("beat", "-l", "WARNING")
        wait_until(lambda: redis.llen(QUEUE) >= count, f"{count} notifications", 180)
        return max(float(row.split()[1]) for row in redis.lrange(QUEUE, -5000, -1)) - due
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


def _report(measures: list[tuple[str, int, Callable[[], float]]]) -> None:
    # In turns: the machine's speed varies.
    rounds = [[run() for _, _, run in measures] for _ in range(RUNS)]
    medians = [median(times) for times in zip(*rounds, strict=True)]
    ours_10k, ours_100k = medians[:2]
    rows = [
        (what, f"{n:,}", seconds(taken), f"{n / taken:,.0f}", f"{taken / ours_10k:.1f}x")
        for (what, n, _), taken in zip(measures, medians, strict=True)
    ]
    table(("what", "jobs", "due to last notification", "jobs/s", "against ours"), rows)
    print(f"\n10x the jobs take {ours_100k / ours_10k:.1f}x the time")
