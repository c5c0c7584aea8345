"""Runs that are delegated to a Celery task, perhaps of another app on the broker.

No worker waits for the task, and there is no result backend. Its message has two callbacks,
Celery's `link` and `link_error`. The worker that runs the task sends them to our default queue, and
tasks.py concludes the run with them. If none comes, the sweeper ends the run after its timeout.
"""

from dataclasses import asdict, dataclass
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError

from cron_tasks.broker.depth import QUEUE_FULL, count_messages
from cron_tasks.broker.transport import CELERY_QUEUE
from cron_tasks.errors import ActionFailed, describe_error
from cron_tasks.jobs.actions import TaskAction
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.spans import attempt_of
from cron_tasks.runs.result import ERROR_SHOWN
from cron_tasks.store import keys
from cron_tasks.text.display import printable
from cron_tasks.text.trace_ids import format_traceparent
from cron_tasks.tracing.tracer import Tracer

log = structlog.get_logger("cron_tasks.runs")


@dataclass(frozen=True, slots=True)
class Handed:
    """A delegated run: the state in which the worker left it, and when the attempt began."""

    run_id: str
    state: str
    started_at: float


def send_task(
    app: Celery,
    job: Job,
    action: TaskAction,
    task_id: str,
    handed: Handed,
    tracer: Tracer | None = None,
) -> None:
    """Send the task of a job. It begins within the job's timeout or not at all.

    With a `tracer`, the headers of the message have the `traceparent` of the attempt, so that other
    apps with OpenTelemetry continue the trace.

    Raises ActionFailed if the queue is full because no worker empties it, kombu's OperationalError
    if the broker refuses the message, and the errors of the broker's client.
    """
    routing = _route(job, handed, tracer)
    queue = routing["queue"]
    with app.producer_or_acquire() as producer:
        if (there := count_messages(producer, queue)) > QUEUE_FULL:
            raise ActionFailed(f"{there} messages wait in its queue {queue}", permanent=False)
        try:
            app.send_task(
                action.name,
                action.args,
                action.kwargs,
                task_id=task_id,
                producer=producer,
                # If a message whose arrival is in doubt was sent again, the task would run twice.
                retry=False,
                expires=job.timeout,
                **_link_back(app, handed),
                **routing,
            )
        except OperationalError as error:
            if isinstance(error.__cause__, ResponseError):
                raise
            # The broker answered a moment ago, so it may have the message. The outcome will show.
            log.warning("task.in_doubt", task_id=task_id, error=str(error))


def _link_back(app: Celery, handed: Handed) -> dict[str, Any]:
    """Return the callbacks of a task. They conclude its run in our app."""
    # Our app reads JSON, even if the other app has another serializer.
    back = {
        "kwargs": {"handed": asdict(handed)},
        "queue": app.conf.task_default_queue,
        "serializer": "json",
    }
    done, failed = app.signature(keys.DONE_TASK, **back), app.signature(keys.FAILED_TASK, **back)
    return {"link": done, "link_error": failed}


def _route(job: Job, handed: Handed, tracer: Tracer | None) -> dict[str, Any]:
    """Return where the message goes, and its headers."""
    # The queue that the other app reads by default.
    routing: dict[str, Any] = {"queue": job.queue or CELERY_QUEUE}
    if job.priority is not None:
        routing["priority"] = job.priority
    if tracer is not None:
        own = attempt_of(tracer.root_of(handed.run_id), handed.run_id, handed.state)
        routing["headers"] = {"traceparent": format_traceparent(own)}
    return routing


def describe_task_error(task_id: str, error: BaseException | None) -> str:
    """Return why a task failed. Only an app that has our tasks sends the `error`."""
    if error is None:
        return printable(
            f"its task failed; the log of its worker says why ({task_id})", ERROR_SHOWN
        )
    return describe_error(error, ERROR_SHOWN)
