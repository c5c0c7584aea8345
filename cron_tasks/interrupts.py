"""The former module of Stopped, for plug-ins that import it from here. Use `cron_tasks.plugins`."""

from cron_tasks.errors import Stopped

__all__ = ["Stopped"]
