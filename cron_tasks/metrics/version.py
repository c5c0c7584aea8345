"""The version of this installation."""

from functools import cache
from importlib.metadata import version


@cache
def read_version() -> str:
    """Return the version of cron-tasks."""
    return version("cron-tasks")
