"""Many `notify` jobs due at one instant: from that instant to the last notification on the queue.

Ours and stock Celery + RedBeat: one beat, one worker of two processes. APScheduler: one process,
its jobs in memory, each run appending its message to a list.
"""

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from helpers import wait_until
from processes import Celery, Valkey, celery_processes
from redis import Redis

from bench.report import seconds, table
from cron_tasks.jobs import Job, validate
from cron_tasks.plan import Changes, Desired
from cron_tasks.redis_client import connect
from cron_tasks.registry import Registry

RUNS = 3
SIZES = (10_000, 100_000)
PEER_SIZES = (10_000,)
QUEUE = "queue:to_telegram"


def jobs(count: int, due: float) -> list[Desired]:
    moment = datetime.fromtimestamp(due, UTC).isoformat()
    rows = ({"id": n, "name": f"job {n}", "run_at": moment} for n in range(count))
    desired = []
    for row in rows:
        job = validate(row, timezone="UTC")
        assert isinstance(job, Job), job
        desired.append(Desired(job, "bench"))
    return desired


def ours(celery: Celery, redis: Redis, count: int) -> float:
    """Seconds from due time to the last notification."""
    redis.flushall()
    worker, beat = celery.worker(2), celery.beat()
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    lead = 3 + count / 15_000
    due = float(int(time.time() + lead))
    Registry(redis).apply(Changes(added=jobs(count, due)), time.time())
    assert time.time() < due, "registering took longer than the head start"
    wait_until(lambda: redis.llen(QUEUE) >= count, f"{count} notifications", 120)
    last = json.loads(redis.lindex(QUEUE, -1))["created_at"]
    done = max(
        datetime.fromisoformat(json.loads(message)["created_at"]).timestamp()
        for message in redis.lrange(QUEUE, -2000, -1)
    )
    assert last
    for process in (worker, beat):
        process.kill()
    return done - due


def apscheduler(count: int) -> float:
    script = Path(__file__).parent / "peers" / "apscheduler_storm.py"
    out = subprocess.run(
        [sys.executable, script, str(count)], capture_output=True, text=True, check=True
    )
    return float(out.stdout)


def stock(valkey: Valkey, redis: Redis, folder: Path, count: int) -> float:
    redis.flushall()
    script = Path(__file__).parent / "peers"
    celery = Celery({"STOCK_REDIS": valkey.url, "PYTHONPATH": str(script)}, folder)
    celery.app = "stock_app"
    try:
        return _stock(celery, redis, count, str(script), valkey.url)
    finally:
        celery.end()


def _stock(celery: Celery, redis: Redis, count: int, script: str, url: str) -> float:
    worker = celery.worker(2)
    worker.wait_for("ready")
    due = float(int(time.time() + 5 + count / 2500))
    subprocess.run(
        [sys.executable, f"{script}/stock_app.py", str(count), str(due)],
        env={"STOCK_REDIS": url},
        check=True,
    )
    celery.start("beat", "-l", "WARNING")
    wait_until(lambda: redis.llen(QUEUE) >= count, f"{count} notifications", 180)
    return max(float(stamp) for stamp in redis.lrange(QUEUE, -2000, -1)) - due


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valkey = Valkey(folder / "valkey")
        redis = connect(valkey.url)
        env = {
            "CRON_TASKS_REDIS_URL": valkey.url,
            "CRON_TASKS_REST_URL": "http://127.0.0.1:9",
            "CRON_TASKS_CHAT_ID": "1",
        }
        try:
            with celery_processes(env, folder) as celery:
                rows = [
                    (count, median(ours(celery, redis, count) for _ in range(RUNS)))
                    for count in SIZES
                ]
            memory = [
                (count, median(apscheduler(count) for _ in range(RUNS))) for count in PEER_SIZES
            ]
            redbeat = [
                (count, median(stock(valkey, redis, folder, count) for _ in range(RUNS)))
                for count in PEER_SIZES
            ]
        finally:
            redis.close()
            valkey.stop()
    table(
        ("what", "jobs", "due to last notification", "jobs/s"),
        [
            (what, f"{count:,}", seconds(taken), f"{count / taken:,.0f}")
            for what, figures in (
                ("cron_tasks", rows),
                ("APScheduler in memory", memory),
                ("stock Celery + RedBeat", redbeat),
            )
            for count, taken in figures
        ],
    )
