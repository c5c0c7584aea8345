"""From the death of the beat that leads to the next tick that was told, while another stands by."""

import json
import random
import signal
import time
from datetime import datetime
from statistics import median

from helpers import wait_until

from bench.report import seconds, table
from bench.stage import Stage, register, stage
from cron_tasks.store import keys

QUEUE = "queue:to_telegram"
DEATHS = 7


def takeover(on: Stage, number: signal.Signals) -> tuple[float, float]:
    """Seconds from `number` until another beat leads, and until a tick was told that it fired."""
    first = on.celery.beat()
    first.wait_for("beat.leading")
    second = on.celery.beat()
    second.wait_for("beat.standing_by")
    # At any time between two renewals of the lock.
    time.sleep(random.uniform(1, 4))
    token = on.redis.get(keys.LEADER_LOCK)
    begun = time.time()
    first.signal(number)
    wait_until(lambda: on.redis.get(keys.LEADER_LOCK) not in (token, None), "a new leader", 20)
    leads = time.time()

    def told() -> list[float]:
        messages = map(json.loads, on.redis.lrange(QUEUE, -5, -1))
        times = (datetime.fromisoformat(each["created_at"]).timestamp() for each in messages)
        return [each for each in times if each > leads]

    wait_until(told, "its first tick", 20)
    first.popen.wait()
    second.terminate()
    return leads - begun, min(told()) - begun


def main() -> None:
    rows = []
    with stage() as on:
        on.celery.worker(2).wait_for("ready")
        register(on.redis, [{"id": 1, "name": "x", "every": 1}])
        for number in (signal.SIGKILL, signal.SIGTERM):
            leads, told = zip(*(takeover(on, number) for _ in range(DEATHS)), strict=True)
            figures = (median(leads), max(leads), median(told), max(told))
            rows.append((number.name, DEATHS, *map(seconds, figures)))
    head = ("signal", "times", "another leads", "at most", "it told a tick", "at most")
    table(head, rows)
