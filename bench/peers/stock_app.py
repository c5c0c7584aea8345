"""Stock Celery with stock RedBeat, as their documentation has it.

As a script: register COUNT entries that are due at DUE (seconds since the epoch).
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta

from celery import Celery
from redbeat import RedBeatSchedulerEntry
from redis import Redis

URL = os.environ["STOCK_REDIS"]
app = Celery("stock_app", broker=URL)
app.conf.update(
    task_ignore_result=True,
    beat_scheduler="redbeat.RedBeatScheduler",
    beat_max_loop_interval=1,
    redbeat_redis_url=URL,
    redbeat_redis_options={"socket_timeout": 5},
    timezone="UTC",
)
redis = Redis.from_url(URL)


@app.task(name="notify", ignore_result=True)
def notify(number: int) -> None:
    redis.rpush("queue:to_telegram", f"{number} {time.time()}")


def register(count: int, due: float) -> None:
    """An hourly interval whose last run was an hour before `due`."""
    for number in range(count):
        entry = RedBeatSchedulerEntry(
            f"job-{number}", "notify", timedelta(hours=1), args=[number], app=app
        )
        entry.last_run_at = datetime.fromtimestamp(due, UTC) - timedelta(hours=1)
        entry.save()
        # RedBeat computes the score of an entry with a past run anew (failures measured).
        redis.zadd("redbeat::schedule", {entry.key: due})


if __name__ == "__main__":
    register(int(sys.argv[1]), float(sys.argv[2]))
