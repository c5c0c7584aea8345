"""The worker queue and the priority of a run's message. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cron_tasks.jobs.job import Job

_NONE: Mapping[str, Any] = MappingProxyType({})


def routing_options(job: Job) -> Mapping[str, Any]:
    """Return the Celery options of the message that starts a run.

    When a job calls a Celery task, its queue is for the task: the workers of that queue may not be
    ours.
    """
    if job.queue is None and job.priority is None:
        return _NONE
    queue = None if job.action.type == "task" else job.queue
    given = {"queue": queue, "priority": job.priority}
    return {name: value for name, value in given.items() if value is not None}
