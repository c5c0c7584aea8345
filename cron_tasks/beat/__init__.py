"""The beat process: it fires jobs when they are due, and handles overdue runs."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import `Scheduler` only when Celery asks for it, because importing it configures the app."""
    if name == "Scheduler":
        from cron_tasks.beat.scheduler import Scheduler

        return Scheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
