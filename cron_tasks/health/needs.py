"""What the registered jobs need in order to run and to notify."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import orjson
from redis import Redis

from cron_tasks.broker.transport import CELERY_QUEUE
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.paging import PAGE, pages
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of

#: Job ids that a finding names.
SHOWN = 3


@dataclass
class Needs:
    """The queues of the enabled jobs, each with the ids of its jobs.

    `run_queues` are those of runs, except the default queue. `task_queues` are those of the tasks
    that jobs call. `notify_queues` are the names alone. `unaddressed` are the jobs that notify but
    have no recipient.
    """

    run_queues: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    task_queues: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    notify_queues: set[str] = field(default_factory=set)
    unaddressed: set[str] = field(default_factory=set)

    def add(self, job_id: str, document: dict[str, Any], settings: Settings) -> None:
        """Note what a job needs. `document` holds the fields that differ from their defaults."""
        if not document.get("enabled", True):
            return
        queue, notify = document.get("queue"), document.get("notify", {})
        if document.get("action", {}).get("type") == "task":
            self.task_queues[queue or CELERY_QUEUE].add(job_id)
        elif queue and queue != settings.default_queue:
            self.run_queues[queue].add(job_id)
        if notify.get("on") == []:
            return
        self.notify_queues.add(notify.get("queue") or settings.notify_queue)
        if document.get("chat_id") is None and settings.chat_id is None:
            self.unaddressed.add(job_id)

    def worker_queues(self, settings: Settings) -> set[str]:
        """Return all queues that need a worker, of whatever app."""
        return {settings.default_queue, *self.run_queues, *self.task_queues}


def read_needs(redis: Redis, settings: Settings) -> Needs:
    """Read what all jobs need. A job that cannot be read is left out."""
    needs = Needs(notify_queues={settings.notify_queue})
    for page in pages(job_id for job_id, _ in redis.hscan_iter(keys.JOBS, count=PAGE)):
        with redis.pipeline(transaction=False) as pipe:
            for job_id in page:
                pipe.hget(keys.entry_key(job_id), "job")
            documents = pipe.execute(raise_on_error=False)
        for job_id, text in zip(page, documents, strict=True):
            try:
                needs.add(job_id, orjson.loads(text), settings)
            except (ValueError, AttributeError, TypeError):
                continue  # The check of the registry reports it.
    return needs


def name_jobs(job_ids: Collection[str]) -> str:
    """Return the number of jobs and the first ids: `4 jobs (7, 8, 12, …)`."""
    first = sorted(job_ids, key=lambda job_id: (len(job_id), job_id))[:SHOWN]
    more = [] if len(job_ids) <= SHOWN else ["…"]
    shown = ", ".join([*(printable(job_id, 40) for job_id in first), *more])
    return f"{number_of(len(job_ids), 'job')} ({shown})"
