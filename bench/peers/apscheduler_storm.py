"""APScheduler 3 in one process, jobs in memory, each run queueing its notification in Redis.

Prints the seconds from the due time to the last notification, and the CPU seconds from then on.
"""

import json
import sys
import time
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from redis import Redis

count, url = int(sys.argv[1]), sys.argv[2]
redis = Redis.from_url(url)
QUEUE = "queue:to_telegram"


def notify(number: int) -> None:
    message = {"chat_id": 1, "response": f"Scheduled task: job {number}", "status": "success"}
    redis.rpush(QUEUE, json.dumps(message | {"at": time.time()}))


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
time.sleep(due - time.time() - 0.05)
before = time.process_time()
while redis.llen(QUEUE) < count:
    time.sleep(0.05)
spent = time.process_time() - before
print(max(json.loads(row)["at"] for row in redis.lrange(QUEUE, -1000, -1)) - due, spent)
scheduler.shutdown()
