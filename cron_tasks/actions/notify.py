"""`notify`: the run is its notification, which the ledger queues when the run is finished."""

from cron_tasks.plugins import Run
from cron_tasks.settings import Settings


def perform(run: Run, settings: Settings) -> None:
    """Nothing is left to do: a notification cannot be queued twice, nor without its outcome."""
