"""Describe the outcomes of runs for people. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cron_tasks.schedules.human import format_local, format_runtime
from cron_tasks.text.display import printable

#: A run as returned by runs/queries.py.
Run = Mapping[str, Any]


def whole_second(moment: str | None, zone: str) -> str:
    """Return a time in `zone` without fractions of a second, or "" for None."""
    whole = moment and datetime.fromisoformat(moment).replace(microsecond=0)
    return format_local(whole, zone) or "" if whole else ""


def describe_summary(summary: Run) -> str:
    """Return the figures of the runs of a minute: `58 ok, median 12 ms, slowest 80 ms`."""
    parts = []
    if summary["ok"]:
        figures = f"median {_short(summary['median'])}, slowest {_short(summary['slowest'])}"
        parts.append(f"{summary['ok']:,} ok, {figures}")
    if summary["skipped"]:
        parts.append(f"{summary['skipped']:,} skipped, because an earlier run was still running")
    return "; ".join(parts)


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if 0.0005 <= seconds < 1 else format_runtime(seconds)


def describe_minute(run: Run, zone: str) -> str:
    """Return the record of a minute: `09:00  58 ok, median 12 ms, slowest 80 ms`."""
    return f"{whole_second(run['scheduled_for'], zone)[11:16]}  {describe_summary(run['summary'])}"


def describe_outcome(run: Run, zone: str) -> str:
    """Return how a run ended: `failed after 2.5 s at attempt 2: HTTP 500`."""
    if "summary" in run:
        return describe_minute(run, zone)
    after = f" after {format_runtime(run['duration'])}" if run["duration"] is not None else ""
    number = f" at attempt {run['attempt']}" if (run["attempt"] or 0) > 1 else ""
    reason = describe_reason(run, zone)
    return str(run["status"]) + after + number + (f": {reason}" if reason else "")


def describe_reason(run: Run, zone: str) -> str:
    """Return reason and error of a run, the blocking run, and the last tick missed with it.

    For the record of a minute, return its figures.
    """
    if "summary" in run:
        return describe_minute(run, zone)
    about = f" ({run['other']})" if run.get("other") else ""
    if until := whole_second(run.get("until"), zone):
        about += f" (all ticks until {until})"
    if retry_at := whole_second(run.get("retry_at"), zone):
        about += f" (next attempt at {retry_at})"
    text = ": ".join(each for each in (run["reason"], run["error"]) if each)
    return printable(text + about, 1000)
