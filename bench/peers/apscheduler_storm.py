"""APScheduler 3 in one process, jobs in memory: seconds from due time to the last message."""

import sys
import time
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

count = int(sys.argv[1])
queue: list[tuple[int, float]] = []


def notify(number: int) -> None:
    queue.append((number, time.time()))


scheduler = BackgroundScheduler(
    executors={"default": ThreadPoolExecutor(2)},
    job_defaults={"misfire_grace_time": 600, "max_instances": 1},
    timezone="UTC",
)
due = float(int(time.time() + 3 + count / 3000))
moment = datetime.fromtimestamp(due, UTC)
for number in range(count):
    scheduler.add_job(notify, "date", run_date=moment, args=[number])
scheduler.start()
if time.time() > due:
    sys.exit("adding the jobs took longer than the head start")
while len(queue) < count:
    time.sleep(0.02)
print(max(at for _, at in queue) - due)
scheduler.shutdown()
