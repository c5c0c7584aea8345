"""What a run does: every action type behind one small interface."""

from collections.abc import Mapping
from typing import Protocol

from cron_tasks.actions import http
from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.plugins import CustomAction
from cron_tasks.jobs.run import Run
from cron_tasks.settings import Settings
from cron_tasks.text.output import render_output

__all__ = ["Action", "Run", "action_of"]


class Action(Protocol):
    """Does the work of a run; what of its output to keep, printable and at most 4 kB.

    Raises ActionFailed, or anything else, when it could not.
    """

    def __call__(self, run: Run, settings: Settings) -> str | None: ...


#: `notify` has nothing left to do: the ledger queues a notification when its run is finished, so
#: that it cannot be queued twice, nor without its outcome.
ACTIONS: Mapping[str, Action] = {"notify": lambda *_: None, "http": http.perform}


def action_of(job: Job) -> Action:
    """The action of a job. Raises ActionFailed for a type that this version does not run."""
    if isinstance(job.action, CustomAction):
        return _plugged(job.action)
    try:
        return ACTIONS[job.action.type]
    except KeyError:
        text = f"action type {job.action.type!r} is not in effect in this version"
        raise ActionFailed(text, permanent=True) from None


def _plugged(action: CustomAction) -> Action:
    return lambda run, settings: render_output(action.perform(run, settings))
