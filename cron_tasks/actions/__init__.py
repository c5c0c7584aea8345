"""What a run does: one module for each action type behind one small interface."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cron_tasks.actions import notify
from cron_tasks.errors import ActionFailed
from cron_tasks.jobs import Job


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a tick: all that an action may know."""

    job: Job
    run_id: str
    scheduled_for: float
    attempt: int


class Action(Protocol):
    """Does the work of a run; returns what to keep of its output.

    Raises ActionFailed, or anything else, when it could not.
    """

    def __call__(self, run: Run) -> str | None: ...


ACTIONS: Mapping[str, Action] = {"notify": notify.perform}


def action_of(job: Job) -> Action:
    """The action of a job. Raises ActionFailed for a type that this version does not run."""
    try:
        return ACTIONS[job.action.type]
    except KeyError:
        raise ActionFailed(
            f"action type {job.action.type!r} is not in effect in this version", permanent=True
        ) from None
