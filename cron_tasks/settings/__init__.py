"""Every setting, once.

From fields.py come the errors at start, `cron-tasks settings` and the table in docs/settings.md.
"""

from cron_tasks.settings.fields import PREFIX, Row, Settings, variable
from cron_tasks.settings.reading import load

__all__ = ["PREFIX", "Row", "Settings", "load", "variable"]
