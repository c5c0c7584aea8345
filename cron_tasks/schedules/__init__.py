"""When a job is due: pure calculations with time. Every time is an argument.

Four kinds of rule (cron expression, interval, one time, RFC 5545 recurrence) become one `Schedule`,
because all callers ask the same questions: which fire time is next, which was the last, which lie
between. `parse` reads what people write and explains what is wrong. `from_spec` quickly reads what
`Schedule.to_spec` stored.
"""

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules.parse import from_spec, parse
from cron_tasks.schedules.schedule import Schedule

__all__ = ["Schedule", "ScheduleError", "from_spec", "parse"]
