"""How runs ended, in words for people. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cron_tasks.schedules.human import format_local, format_runtime
from cron_tasks.text.display import printable

#: A run as runs/queries.py returns it.
Run = Mapping[str, Any]


def whole_second(moment: str | None, zone: str) -> str:
    """Return a time in `zone` without fractions of a second, or "" for None."""
    whole = moment and datetime.fromisoformat(moment).replace(microsecond=0)
    return format_local(whole, zone) or "" if whole else ""


def describe_outcome(run: Run, zone: str) -> str:
    """Return how a run ended: `failed after 2.5 s at attempt 2: HTTP 500`."""
    after = f" after {format_runtime(run['duration'])}" if run["duration"] is not None else ""
    number = f" at attempt {run['attempt']}" if (run["attempt"] or 0) > 1 else ""
    reason = describe_reason(run, zone)
    return str(run["status"]) + after + number + (f": {reason}" if reason else "")


def describe_reason(run: Run, zone: str) -> str:
    """Return reason and error of a run, the run in its way, and the last tick missed with it."""
    about = f" ({run['other']})" if run.get("other") else ""
    if until := whole_second(run.get("until"), zone):
        about += f" (all ticks until {until})"
    if retry_at := whole_second(run.get("retry_at"), zone):
        about += f" (next attempt at {retry_at})"
    text = ": ".join(each for each in (run["reason"], run["error"]) if each)
    return printable(text + about, 1000)
