"""The rules that make a job quick: those with more than one fire time in a minute. Pure.

The ledger keeps the ok runs of a quick job as one line a minute (ledger/minutes.py).
"""

import re
from functools import lru_cache

from cron_tasks.schedules.durations import MINUTE

_SECONDS = re.compile(r"BYSECOND=([\d,]+)")
_EVERY = re.compile(r"INTERVAL=(\d+)")


@lru_cache(maxsize=4096)
def is_quick_rule(key: str, value: str | float) -> bool:
    """Return whether a stored rule (`Schedule.to_spec`) may fire more than once in a minute.

    These are intervals below 60 seconds, cron expressions with several seconds, and recurrence
    rules with several seconds (BYSECOND) or FREQ=SECONDLY.
    """
    if key == "e":
        return float(value) < MINUTE
    if key == "c":
        fields = str(value).split()
        return len(fields) == 6 and not fields[0].isdigit()
    return key == "r" and _recurs_within_minute(str(value).upper())


def has_quick_rule(spec: object) -> bool:
    """Return whether a stored schedule (`Schedule.to_spec`) is quick. False if it is not one."""
    if not isinstance(spec, dict):
        return False
    return any(is_quick_rule(key, spec[key]) for key in ("e", "c", "r") if key in spec)


def _recurs_within_minute(rule: str) -> bool:
    if seconds := _SECONDS.search(rule):
        return len(set(seconds[1].split(","))) > 1
    every = _EVERY.search(rule)
    return "FREQ=SECONDLY" in rule and (every is None or int(every[1]) < MINUTE)
