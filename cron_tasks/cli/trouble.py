"""Trouble that could be foreseen, as one sentence for a person."""

import errno

from cron_tasks.errors import CronTasksError


def sentence(error: Exception) -> str | None:
    """What to tell of an error; None of one that is a fault of this program, or of no interest."""
    if isinstance(error, CronTasksError):
        return str(error)
    if isinstance(error, OSError):
        # A reader that has seen enough, such as `head`, is no trouble: click ends quietly.
        return None if error.errno == errno.EPIPE else str(error)
    # By name, since an import of either takes longer than most commands.
    if {kind.__module__.partition(".")[0] for kind in type(error).__mro__} & {"redis", "kombu"}:
        return f"{redis_cause(error)}; check CRON_TASKS_REDIS_URL"
    return None


def redis_cause(error: Exception) -> str:
    """What went wrong with Redis, and where it is; the settings have been read before."""
    from cron_tasks.settings import load
    from cron_tasks.text import printable

    cause = printable(str(error)).rstrip(".") or type(error).__name__
    return f"Redis at {load().masked_redis_url}: {cause}"
