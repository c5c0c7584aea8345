"""The imports of a plug-in: the base of an action, the run that it gets, and the errors.

A plug-in raises ActionFailed. Stopped is raised in its `perform` when the run has to end.
"""

from cron_tasks.errors import ActionFailed, Stopped
from cron_tasks.jobs.plugins import CustomAction
from cron_tasks.jobs.run import Run

__all__ = ["ActionFailed", "CustomAction", "Run", "Stopped"]
