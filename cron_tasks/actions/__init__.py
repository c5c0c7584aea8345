"""Perform the action of a run: every type of action behind one small interface."""

from collections.abc import Mapping
from typing import Protocol

from cron_tasks.actions import http
from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.plugins import CustomAction
from cron_tasks.jobs.run import Run
from cron_tasks.settings import Settings
from cron_tasks.text.output import render_output


class Performer(Protocol):
    """Does the work of a run, and returns the output to keep: printable, at most 4 kB.

    Raises ActionFailed, or anything else, if the work could not be done.
    """

    def __call__(self, run: Run, settings: Settings) -> str | None: ...


#: `notify` has no work to do. The ledger sends a notification in the same step in which it finishes
#: the run, so that no notification is sent twice or without the outcome of its run.
BUILT_IN_PERFORMERS: Mapping[str, Performer] = {
    "notify": lambda *_: None,
    "http": http.perform_request,
}


def find_performer(job: Job) -> Performer:
    """Return what performs the action of a job.

    Raises ActionFailed for a type that this version does not have.
    """
    if isinstance(job.action, CustomAction):
        return _plugin_performer(job.action)
    try:
        return BUILT_IN_PERFORMERS[job.action.type]
    except KeyError:
        text = f"this version has no action of type {job.action.type!r}"
        raise ActionFailed(text, permanent=True) from None


def _plugin_performer(action: CustomAction) -> Performer:
    return lambda run, settings: render_output(action.perform(run, settings))
