"""The queues and recipients that the registered jobs need in order to run and to notify."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from redis import Redis

from cron_tasks.broker.transport import CELERY_QUEUE
from cron_tasks.registry.registry import read_special_jobs
from cron_tasks.settings import Settings
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of

#: Job ids that a finding names.
SHOWN = 3


@dataclass
class Named:
    """The number of some jobs, and the first ids. A finding names only these ids."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, job_ids: Iterable[str], count: int = 1) -> None:
        """Add `count` jobs, of which these are the first."""
        self.count += count
        first = sorted({*self.first, *job_ids}, key=lambda job_id: (len(job_id), job_id))
        self.first = first[:SHOWN]

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        """Return the number of jobs and the first ids: `4 jobs (7, 8, 12, …)`."""
        more = ["…"] if self.count > len(self.first) else []
        shown = ", ".join([*(printable(job_id, 40) for job_id in self.first), *more])
        return f"{number_of(self.count, 'job')} ({shown})"


@dataclass
class Needs:
    """The queues of the enabled jobs, each with its jobs.

    `run_queues` are those of runs, except the default queue. `task_queues` are those of the tasks
    that jobs call. `notify_queues` are the names alone. `unaddressed` are the jobs that notify but
    have no recipient.
    """

    run_queues: dict[str, Named] = field(default_factory=lambda: defaultdict(Named))
    task_queues: dict[str, Named] = field(default_factory=lambda: defaultdict(Named))
    notify_queues: set[str] = field(default_factory=set)
    unaddressed: Named = field(default_factory=Named)

    def add(self, job_id: str, document: dict[str, Any], settings: Settings) -> None:
        """Add the needs of a job. `document` holds the fields that differ from their defaults."""
        if not document.get("enabled", True):
            return
        queue, notify = document.get("queue"), document.get("notify", {})
        if document.get("action", {}).get("type") == "task":
            self.task_queues[queue or CELERY_QUEUE].add([job_id])
        elif queue and queue != settings.default_queue:
            self.run_queues[queue].add([job_id])
        if notify.get("on") == []:
            return
        self.notify_queues.add(notify.get("queue") or settings.notify_queue)
        if document.get("chat_id") is None and settings.chat_id is None:
            self.unaddressed.add([job_id])

    def worker_queues(self, settings: Settings) -> set[str]:
        """Return all queues that need a worker, of any app."""
        return {settings.default_queue, *self.run_queues, *self.task_queues}


def read_needs(redis: Redis, settings: Settings) -> Needs:
    """Read the needs of all jobs. A job that cannot be read is left out."""
    needs = Needs(notify_queues={settings.notify_queue})
    for special, without_chat, first in read_special_jobs(redis, SHOWN):
        if settings.chat_id is None:
            needs.unaddressed.add(first, without_chat)
        for job_id, text in special:
            try:
                needs.add(job_id, orjson.loads(text), settings)
            except (ValueError, AttributeError, TypeError):
                continue  # The check of the registry reports it.
    return needs
