"""Mark failed runs in Flower's own list of tasks. Pure.

A Celery task that performed a run has succeeded as a task, even if the run has failed, because the
ledger retries runs, and not Celery. So Flower would show it green. The task itself does not fail,
because a message may carry hundreds of runs. Only the display in Flower changes.
"""

import re
from collections.abc import Container
from typing import Any

from cron_tasks.store import keys

_TASKS = (keys.RUN_TASK, keys.CHUNK_TASK, keys.DONE_TASK, keys.FAILED_TASK)
#: The end of a result such as `'7@2026-11-23T09:00:00Z failed'`, or `(3 failed)` of a batch.
_FAILED = re.compile(r"\bfailed\b['\")]*$")


def mark_task(task: Any, failed_runs: Container[str]) -> Any:
    """Return a task of Flower, in state FAILURE if it has performed a run that failed.

    `failed_runs` are ids of runs that have failed, for runs that ended after their task.
    """
    if task is None or task.name not in _TASKS or task.state != "SUCCESS":
        return task
    result = str(task.result or "")
    if _FAILED.search(result) or (task.name == keys.RUN_TASK and task.uuid in failed_runs):
        task.state = "FAILURE"
    return task
