"""From the due time to the notification on the queue: one job alone, and twenty together."""

import json
from datetime import datetime
from statistics import quantiles

from helpers import wait_until
from processes import Celery
from redis import Redis

from bench.report import seconds, table
from bench.stage import register, stage

QUEUE = "queue:to_telegram"


def delays(celery: Celery, redis: Redis, together: int, ticks: int) -> list[float]:
    """Seconds from each tick to the last of its notifications."""
    redis.flushall()
    worker, beat = celery.worker(2), celery.beat()
    worker.wait_for("ready")
    beat.wait_for("beat.leading")
    register(redis, ({"id": number, "name": "x", "every": 1} for number in range(together)))
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
    rows = []
    with stage() as on:
        for together, ticks in ((1, 200), (20, 60)):
            found = quantiles(delays(on.celery, on.redis, together, ticks), n=100)
            rows.append((together, ticks, seconds(found[49]), seconds(found[98])))
    table(("due together", "ticks", "p50 of the last", "p99 of the last"), rows)
