"""Suggest how to map the field in which another service keeps a job's schedule. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cron_tasks.errors import ScheduleError
from cron_tasks.text.display import printable_key

#: The names that other services give to the schedule, and the field of a job that each may be.
_FOREIGN = {
    "schedule": "cron_expression",
    "cron": "cron_expression",
    "crontab": "cron_expression",
    "interval": "every",
    "rule": "rrule",
}
_RRULE = re.compile(r"\s*(RRULE:|DTSTART|FREQ=)", re.IGNORECASE)


def suggest_rule(error: ScheduleError, unknown: Mapping[Any, Any]) -> Iterable[tuple[str, str]]:
    """Return the errors of a row without a rule, with a hint if an unknown field may hold it."""
    name = next((name for name in _FOREIGN if name in unknown), None)
    if name is None:
        return error.errors
    expression, value = name, unknown[name]
    if isinstance(value, dict):
        # Only a person can choose the key that holds the rule. The first one shows the form.
        key = printable_key(next(iter(value), "key"))
        expression = f"{name}.{key if key.isidentifier() else json.dumps(key)}"
        value = next(iter(value.values()), None)
    mapping = json.dumps({_choose_field(name, value): expression}, ensure_ascii=False)
    hint = f"; if `{name}` is the schedule, map it: CRON_TASKS_REST_MAPPING={mapping}"
    return [(at, text + hint * (at == "schedule")) for at, text in error.errors]


def _choose_field(name: str, value: Any) -> str:
    """Return the field of a job that accepts such a value."""
    if isinstance(value, int | float):
        return "every"
    if isinstance(value, str) and _RRULE.match(value):
        return "rrule"
    if isinstance(value, str) and (len(value.split()) > 1 or value.startswith("@")):
        return "cron_expression"
    return _FOREIGN[name]
