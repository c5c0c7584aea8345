"""What a plug-in imports: the base of an action, the run it is given, and the error it raises."""

from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.plugins import CustomAction
from cron_tasks.jobs.run import Run

__all__ = ["ActionFailed", "CustomAction", "Run"]
