"""Explain the failures that a user can fix. Imports nothing that takes long to import."""

import errno

from cron_tasks.errors import CronTasksError
from cron_tasks.text.display import printable


def describe_failure(error: Exception) -> str | None:
    """Return a sentence for a person, or None if the error is a bug or a closed pipe.

    A reader such as `head` closes the pipe when it has read enough. click then ends quietly.
    """
    if isinstance(error, CronTasksError):
        return str(error)
    if isinstance(error, OSError):
        return None if error.errno == errno.EPIPE else str(error)
    # Compared by name, because importing redis or kombu takes longer than most commands.
    if {kind.__module__.partition(".")[0] for kind in type(error).__mro__} & {"redis", "kombu"}:
        from cron_tasks.settings import load

        cause = printable(str(error)).rstrip(".") or type(error).__name__
        if cause.startswith("HELLO must be called"):  # The answer to a client without a password.
            cause = "it requires a password"
        return f"Redis at {load().masked_redis_url}: {cause}. {_advise(error)}"
    return None


def _advise(error: BaseException | None) -> str:
    """Return advice about a failure of Redis. A kombu error may have a Redis error as its cause."""
    while error is not None:
        match type(error).__name__:
            case "AuthenticationError":
                return "Check the user and the password in CRON_TASKS_REDIS_URL"
            case "NoPermissionError":
                return "Grant it to the user in CRON_TASKS_REDIS_URL with `ACL SETUSER`"
        error = error.__cause__
    return "Check CRON_TASKS_REDIS_URL"
