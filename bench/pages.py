"""Pages in Flower with 100,000 jobs: at rest, and while half of the jobs are due at one instant."""

import time
from datetime import UTC, datetime
from statistics import median

import psutil
from flower_process import Flower
from helpers import wait_until

from bench.report import seconds, table
from bench.stage import Stage, register, stage

JOBS = 100_000
#: Seconds from the first request to the storm, and of the storm.
REST, STORM = 40.0, 6.0
PATHS = ("/health", "/jobs", "/jobs?q=number+77", "/jobs?state=failing", "/jobs/77", "/upcoming")
Times = dict[str, list[float]]


def measure(flower: Flower, until: float) -> Times:
    """Ask for all pages in turn. Return the seconds that each took."""
    took: Times = {path: [] for path in PATHS}
    while time.time() < until:
        for path in PATHS:
            begun = time.perf_counter()
            assert flower.get(path).status == 200
            took[path].append(time.perf_counter() - begun)
            time.sleep(0.03)
    return took


def run(on: Stage) -> tuple[Times, Times, float]:
    """Return the times at rest and in the storm, and the bytes of memory of Flower."""
    due = float(int(time.time()) + 90)
    start = datetime.fromtimestamp(due, UTC).isoformat()
    storm = {"every": 86_400, "start_at": start}
    daily = [{"cron_expression": f"{n} {n % 24} * * *", "jitter": 3600} for n in range(60)]
    rows = (
        {"id": n, "name": f"Job number {n}", "tags": [f"team-{n % 50}"]}
        | (storm if n % 2 else daily[n % 60])
        for n in range(JOBS)
    )
    register(on.redis, rows)
    worker, beat = on.celery.worker(2), on.celery.beat()
    env = {**on.celery.env, "CRON_TASKS_NOTIFY_MAX": str(JOBS)}
    flower = Flower(env, on.folder, login="me:secret").wait_ready()
    wait_until(lambda: "Job number" in flower.get("/jobs").text, "the index", 60)
    wait_until(lambda: "rect" in flower.get("/upcoming").text, "the forecast", 60)
    rest = measure(flower, min(time.time() + REST, due - 6))
    time.sleep(max(due - time.time(), 0))
    busy = measure(flower, due + STORM)
    memory = psutil.Process(flower.process.pid).memory_info().rss
    for process in (worker, beat, flower.process):
        process.end()
    return rest, busy, memory


def main() -> None:
    with stage() as on:
        rest, busy, memory = run(on)
    rows = [
        (path, *(seconds(each(times[path])) for times in (rest, busy) for each in (median, max)))
        for path in PATHS
    ]
    table(("page", "at rest, median", "most", "storm, median", "most"), rows)
    print(f"\nFlower takes {memory / 1e6:.0f} MB")
