"""What many registered jobs cost that are not due: a tick of ten among them, and an idle beat."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil
from processes import Valkey, celery_processes
from redis import Redis

from bench.report import seconds, table
from bench.stage import register
from cron_tasks.beat.due import judge_page, read_page
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.client import connect

SIZES = (1_000, 1_000_000)
IDLE = 100_000
DUE = 10
TICKS = 200
ROUNDS = 7
WATCHED = 20.0
FAR = "2099-01-01T00:00:00Z"


def tick(redis: Redis) -> float:
    """Seconds to read, judge and advance DUE jobs, the median of TICKS."""
    redis.set(keys.LEADER_LOCK, "bench", ex=600)
    settings = Settings()
    ledger = Ledger(redis, settings)
    entry_keys = [keys.entry_key(str(number)) for number in range(DUE)]
    times = []
    for number in range(TICKS):
        now = time.time() + number
        redis.zadd(keys.SCHEDULE, dict.fromkeys(entry_keys, now))
        begun = time.perf_counter()
        batch = judge_page(read_page(redis, now), now, settings)
        ledger.advance("bench", now, batch.advances, batch.edits)
        times.append(time.perf_counter() - begun)
    return median(times)


def idle(url: str, folder: Path) -> float:
    """Share of a core that a leading beat takes while nothing is due."""
    env = {"CRON_TASKS_REDIS_URL": url, "CRON_TASKS_REST_URL": "http://127.0.0.1:9"}
    with celery_processes(env, folder) as celery:
        beat = celery.beat()
        beat.wait_for("beat.leading")
        process = psutil.Process(beat.pid)
        before, begun = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(WATCHED)
        return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begun)


def served(folder: Path, count: int) -> tuple[Valkey, Redis]:
    """A server of its own with `count` jobs that are long not due."""
    valkey = Valkey(folder / str(count), appendfsync=None)
    redis = connect(valkey.url)
    rows = ({"id": n, "name": f"job {n}", "run_at": FAR} for n in range(count))
    register(redis, rows)
    return valkey, redis


def main() -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as last:
        folder = Path(name)
        servers = {}
        for count in (*SIZES, IDLE):
            servers[count] = valkey, redis = served(folder, count)
            last.callback(valkey.stop)
            last.callback(redis.close)
        # In turns: the machine's speed varies.
        rounds = [[tick(servers[count][1]) for count in SIZES] for _ in range(ROUNDS)]
        few, many = map(median, zip(*rounds, strict=True))
        busy = idle(servers[IDLE][0].url, folder)
    rows = [
        (f"a tick of {DUE} among {SIZES[0]:,}", seconds(few)),
        (f"a tick of {DUE} among {SIZES[1]:,}", f"{seconds(many)}, {many / few:.2f}x"),
        (f"an idle beat, {IDLE:,} jobs", f"{busy:.2%} of a core"),
    ]
    table(("what", "cost"), rows)
