"""Format times and statuses for the templates. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from cron_tasks.pages.charts import Mark
from cron_tasks.runs import wording
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.human import format_distance, format_duration, format_runtime
from cron_tasks.text import english
from cron_tasks.text.display import printable

#: A sign for each status, for people who cannot distinguish the colours.
_SIGNS = {"ok": "✓", "failed": "✗", "missed": "∅", "skipped": "–", "running": "▶", "fail": "✗"}
_SIGNS |= {"pending": "…", "retrying": "↻", "warn": "!"}

number_of = english.number_of
runtime = format_runtime
span = format_duration
figures = wording.describe_summary


def moment(at: float | None, zone: str = "UTC") -> str:
    """Return a time in `zone`, as `2026-11-23 09:00:00`, or "never"."""
    if at is None:
        return "never"
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def since(at: float, now: float) -> str:
    """Return a time of the last day as `02:41`, or an earlier one with its date, in UTC."""
    return moment(at)[11:16] if now - at < DAY else moment(at)[:16]


def iso(at: float) -> str:
    """Return a time in UTC for the attribute `datetime`, which the script reads."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(at: float, now: float) -> str:
    """Return `5 min ago` or `in 2 h`."""
    return format_distance(at - now)


def sign(status: str) -> str:
    """Return the sign of a status, or of a finding."""
    return _SIGNS.get(status, "·")


def count_kinds(marks: Sequence[Mark]) -> str:
    """Return the text of a chart for screen readers: `18 ok, 2 failed`."""
    counts = Counter(mark.kind for mark in marks if mark.kind != "none")
    return ", ".join(f"{number} {kind}" for kind, number in counts.most_common()) or "none"


def shorten(text: object, limit: int = 200) -> str:
    """Return a text from outside as one line of bounded length."""
    return printable(str(text), limit)


def path_of(job_id: str) -> str:
    """Return a job's id as one part of a path. Ids may contain slashes and anything printable."""
    return quote(job_id, safe="")
