"""The notification of a run that did not end within `expect_within`. Pure."""

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.records import Message
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.runs.notifications import write_notification
from cron_tasks.runs.telling import is_too_old
from cron_tasks.schedules.human import format_duration
from cron_tasks.settings import Settings

_PRESENT = {
    Kind.PENDING: "it waits for a worker",
    Kind.QUEUED: "it waits for another run of the job",
    Kind.RUNNING: "it still runs",
    Kind.DELEGATED: "its task still runs",
}


def write_late_message(
    job: Job, run_id: RunId, state: State | None, now: float, settings: Settings
) -> Message | None:
    """Write the notification, or return None if the job does not want it.

    `state` is the current state of the run, None if it has ended.
    """
    when = run_id.scheduled_for
    if "late" not in job.notify.on or is_too_old(job, when, now):
        return None
    limit = format_duration(job.expect_within or 0.0)
    error = f"late: it did not end within {limit}, {_describe(state)}"
    attempts = 1 if state is None else state.attempt - (not state.in_flight)
    return write_notification(Run(job, run_id, when, attempts), "late", error, now, settings)


def _describe(state: State | None) -> str:
    if state is None:
        return "and has ended since"
    if state.kind is Kind.WAITING and state.attempt > 1:
        return f"it waits for attempt {state.attempt}"
    return _PRESENT.get(state.kind, "it waits for its turn")
