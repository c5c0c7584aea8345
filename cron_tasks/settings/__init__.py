"""Every setting, once.

The errors at start, `cron-tasks settings` and the table in docs/settings.md come from fields.py.
"""

from cron_tasks.settings.display import PREFIX, Row, variable_name
from cron_tasks.settings.fields import Settings
from cron_tasks.settings.reading import load

__all__ = ["PREFIX", "Row", "Settings", "load", "variable_name"]
