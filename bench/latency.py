"""From the due time to the notification on the queue: one job alone, and twenty together."""

import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import quantiles

from helpers import wait_until
from processes import Celery, Valkey, celery_processes
from redis import Redis

from bench.report import seconds, table
from cron_tasks.jobs import Job, validate
from cron_tasks.plan import Changes, Desired
from cron_tasks.redis_client import connect
from cron_tasks.registry import Registry

QUEUE = "queue:to_telegram"


def delays(celery: Celery, redis: Redis, together: int, ticks: int) -> list[float]:
    """Seconds from each tick to the last of its notifications."""
    redis.flushall()
    worker, beat = celery.worker(2), celery.beat()
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    desired = []
    for number in range(together):
        job = validate({"id": number, "name": "x", "every": 1}, timezone="UTC")
        assert isinstance(job, Job)
        desired.append(Desired(job, "bench"))
    Registry(redis).apply(Changes(added=desired), time.time())
    wait_until(lambda: redis.llen(QUEUE) >= together * (ticks + 3), "the ticks", ticks * 2 + 30)
    last: dict[str, float] = {}
    for message in map(json.loads, redis.lrange(QUEUE, together * 2, together * (ticks + 2))):
        told = datetime.fromisoformat(message["created_at"]).timestamp()
        due = datetime.fromisoformat(message["scheduled_for"]).timestamp()
        last[message["scheduled_for"]] = max(last.get(message["scheduled_for"], 0), told - due)
    for process in (worker, beat):
        process.kill()
    return list(last.values())


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valkey = Valkey(folder / "valkey", appendfsync=None)
        redis = connect(valkey.url)
        env = {
            "CRON_TASKS_REDIS_URL": valkey.url,
            "CRON_TASKS_REST_URL": "http://127.0.0.1:9",
            "CRON_TASKS_CHAT_ID": "1",
        }
        rows = []
        try:
            with celery_processes(env, folder) as celery:
                for together, ticks in ((1, 200), (20, 60)):
                    found = quantiles(delays(celery, redis, together, ticks), n=100)
                    rows.append((together, ticks, seconds(found[49]), seconds(found[98])))
        finally:
            redis.close()
            valkey.stop()
    table(("due together", "ticks", "p50 of the last", "p99 of the last"), rows)
