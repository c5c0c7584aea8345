"""The imports of a plug-in: the base of an action, the run that it gets, the error it raises."""

from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.plugins import CustomAction
from cron_tasks.jobs.run import Run

__all__ = ["ActionFailed", "CustomAction", "Run"]
