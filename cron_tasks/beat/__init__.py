"""The beat process: it fires jobs when they are due, and looks after overdue runs."""

from cron_tasks.beat.scheduler import Scheduler

__all__ = ["Scheduler"]
