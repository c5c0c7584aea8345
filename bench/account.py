"""The audit of a day of 100,000 hourly jobs: how long it takes, and what Redis keeps for it."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from applying import apply
from processes import Valkey
from redis import Redis

from bench.report import seconds, table
from cron_tasks.ledger.day_count import count_one
from cron_tasks.registry.plan import Policy, plan_changes
from cron_tasks.registry.registry import PAGE
from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.store.client import connect

SIZES = (10_000, 100_000)
HOUR = 3600


def live_a_day(redis: Redis, count: int, until: float) -> float:
    """Jobs of sixty different minutes, each tick of the day before `until` ok; bytes a job and day.

    The counts are what the ledger's finish would leave; to run the ticks would take minutes.
    """
    rows = [
        (f"row {n}", {"id": n, "name": f"job {n}", "cron_expression": f"{n % 60} * * * *"})
        for n in range(count)
    ]
    redis.execute_command("FLUSHALL", "SYNC")
    apply(redis, plan_changes({}, rows, Policy()), until - 2 * DAY)
    by_day: dict[int, dict[int, int]] = {}
    for minute in range(60):
        first = (until - 2 * DAY) // HOUR * HOUR + minute * 60
        for hour in range(50):
            tick = first + hour * HOUR
            if until - 2 * DAY < tick <= until:
                counts = by_day.setdefault(int(tick // DAY), dict.fromkeys(range(60), 0))
                counts[minute] += count_one(tick)
    before = redis.info("memory")["used_memory"]
    for day, counts in by_day.items():
        for start in range(0, count, PAGE):
            page = {str(n): counts[n % 60] for n in range(start, min(start + PAGE, count))}
            redis.hset(f"{keys.COUNT_PREFIX}{day}", mapping=page)
    used: int = redis.info("memory")["used_memory"] - before
    for start in range(0, count, PAGE):
        scores = {
            keys.entry_key(str(n)): (until - n % 60 * 60) // HOUR * HOUR + n % 60 * 60 + HOUR
            for n in range(start, min(start + PAGE, count))
        }
        redis.zadd(keys.SCHEDULE, scores, xx=True)
    return used / count / len(by_day)


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder), appendfsync=None)
        try:
            with connect(valkey.url) as redis:
                for count in SIZES:
                    each = live_a_day(redis, count, float(int(time.time())))
                    script = Path(sys.executable).with_name("cron-tasks")
                    begun = time.perf_counter()
                    done = subprocess.run(
                        [script, "audit"],
                        capture_output=True,
                        text=True,
                        check=True,
                        env={"CRON_TASKS_REDIS_URL": valkey.url},
                    )
                    taken = time.perf_counter() - begun
                    due = done.stdout.split(": ")[1].split(" ticks")[0]
                    rows.append((count, due, seconds(taken), f"{each:.0f} B"))
        finally:
            valkey.stop()
    table(("jobs", "ticks in 24 h", "audit", "account, a job and day"), rows)
