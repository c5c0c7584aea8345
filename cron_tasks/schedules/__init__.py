"""Pure time: when is a job due? No Celery, no Redis, no clock; every time is an argument.

Four kinds of rule (cron expression, interval, one time, RFC 5545 recurrence) become one `Schedule`,
because everything after it asks the same questions: what comes next, what came last, what lies
between. `parse` reads what people write and explains what is wrong; `from_spec` reads back what
`Schedule.to_spec` stored, fast.
"""

from cron_tasks.errors import ScheduleError
from cron_tasks.schedules.parse import from_spec, parse
from cron_tasks.schedules.schedule import Schedule

__all__ = ["Schedule", "ScheduleError", "from_spec", "parse"]
