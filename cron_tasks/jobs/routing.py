"""Which queue a run goes to. Pure."""

from typing import Any

from cron_tasks.jobs.job import Job


def routing(job: Job) -> dict[str, Any]:
    """The Celery options of the message that starts a run.

    The queue of a job that calls a task is that task's: its workers may know nothing of ours.
    """
    if job.queue is None and job.priority is None:
        return {}
    queue = None if job.action.type == "task" else job.queue
    given = {"queue": queue, "priority": job.priority}
    return {name: value for name, value in given.items() if value is not None}
