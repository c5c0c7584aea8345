"""What a run does: one module for each action type behind one small interface."""

from collections.abc import Mapping
from typing import Protocol

from cron_tasks.actions import http, notify
from cron_tasks.actions.output import kept
from cron_tasks.errors import ActionFailed
from cron_tasks.jobs import Job
from cron_tasks.plugins import CustomAction, Run
from cron_tasks.settings import Settings

__all__ = ["Action", "Run", "action_of"]


class Action(Protocol):
    """Does the work of a run; what of its output to keep, printable and at most 4 kB.

    Raises ActionFailed, or anything else, when it could not.
    """

    def __call__(self, run: Run, settings: Settings) -> str | None: ...


ACTIONS: Mapping[str, Action] = {"notify": notify.perform, "http": http.perform}


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
    return lambda run, settings: kept(action.perform(run, settings) or "")
