"""Add the pages and our metrics to Flower, when the app is imported for `celery … flower`."""

import threading
from pathlib import Path
from typing import Any

from celery.signals import import_modules

from cron_tasks.flower.inside import extend_flower
from cron_tasks.flower.metrics import serve_metrics
from cron_tasks.pages.context import get_context
from cron_tasks.pages.handlers import HealthPage, JobPage, JobsPage, UpcomingPage
from cron_tasks.pages.live import Live, keep_failed_runs
from cron_tasks.pages.posts import Act
from cron_tasks.pages.task_marks import mark_task
from cron_tasks.settings import Settings

PAGES = (
    (r"/health", HealthPage, "cron-health"),
    (r"/jobs", JobsPage, "cron-jobs"),
    (r"/jobs/(.+)", JobPage, "cron-job"),
    (r"/upcoming", UpcomingPage, "cron-upcoming"),
    (r"/cron-tasks/act", Act, "cron-act"),
    (r"/cron-tasks/live", Live, "cron-live"),
)
LINKS = {"cron-health": "Health", "cron-jobs": "Jobs", "cron-upcoming": "Upcoming"}


def install_into_flower(settings: Settings) -> None:
    """Guard the Flower that this process is about to start, and add the pages and metrics to it."""
    serve_metrics(settings)
    # What is added last comes first: the check of who may reach Flower.
    extend_flower(PAGES, Path(__file__).parent, LINKS, _mark)
    import_modules.connect(_warm_up, weak=False)


def _mark(task: Any) -> Any:
    return mark_task(task, get_context().failed_runs)


def _warm_up(**_: object) -> None:
    """Start reading, so that the first page does not have to wait for the index."""
    context = get_context()
    for target in (context.warm_up, lambda: keep_failed_runs(context)):
        threading.Thread(target=target, daemon=True).start()
