"""The shapes of the charts: strips of outcomes, bars of durations, the heat map. Pure.

Each shape has a title, which a pointer and a screen reader show. The templates draw them as SVG.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import sqrt
from typing import Any

from cron_tasks.runs.wording import describe_minute
from cron_tasks.schedules.durations import HOUR, MINUTE
from cron_tasks.schedules.human import format_runtime

#: Outcomes in a strip.
STRIP = 20
#: A job that fires more often than this many seconds has buckets of time in its strip.
FREQUENT = 60.0
#: Seconds of the strip of a frequent job.
STRIP_SPAN = HOUR
#: From worst to best: a bucket has the colour of its worst outcome.
_WORST = ("failed", "missed", "skipped", "running", "pending", "retrying", "ok")
#: Shades of the heat map.
SHADES = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell of a strip, or a bar: its kind (a status), its title, and its height from 0 to 1."""

    kind: str
    title: str
    size: float = 1.0


@dataclass(frozen=True, slots=True)
class HeatRow:
    """An hour of the heat map: when it begins, its ticks, and a mark for each minute."""

    hour: str
    ticks: int
    marks: Sequence[Mark]


def strip_of_runs(runs: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """Return the marks of the last runs of a job, oldest first. `runs` come newest first."""
    return [Mark(str(run["status"]), title_of(run)) for run in reversed(runs[:STRIP])]


def strip_of_buckets(ends: Sequence[tuple[float, str]], since: float, now: float) -> list[Mark]:
    """Return the marks of the last hour of a frequent job, in buckets of three minutes.

    `ends` are the ticks that did not end ok, as (fire time, status). `since` is when the job began
    to fire: earlier buckets are empty.
    """
    width = STRIP_SPAN / STRIP
    marks = []
    for number in range(STRIP):
        first = now - STRIP_SPAN + number * width
        inside = [status for at, status in ends if first < at <= first + width]
        kinds = [kind for kind in _WORST if kind in inside]
        kind = kinds[0] if kinds else "ok" if first + width > since else "none"
        told = ", ".join(f"{inside.count(each)} {each}" for each in kinds) or kind
        marks.append(Mark(kind, f"{clock(first)} to {clock(first + width)} UTC: {told}"))
    return marks


def title_of(run: Mapping[str, Any]) -> str:
    """Return a run in a line: `2026-11-23 09:00:00: failed after 2.5 s: HTTP 500`."""
    when = str(run["scheduled_for"])[:19].replace("T", " ")
    if "summary" in run:
        return f"{when[:10]} {describe_minute(run, 'UTC')}"
    lasting = f" after {format_runtime(run['duration'])}" if run.get("duration") else ""
    why = run.get("error") or run.get("reason")
    return f"{when}: {run['status']}{lasting}" + (f": {why}" if why else "")


def bars_of_durations(runs: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """Return a bar for each run that has a duration, oldest first."""
    timed = [run for run in reversed(runs) if run.get("duration") is not None]
    longest = max((run["duration"] for run in timed), default=0) or 1
    return [Mark(str(run["status"]), title_of(run), run["duration"] / longest) for run in timed]


def bars_of_minutes(counts: Sequence[int], start: float) -> list[Mark]:
    """Return a bar for each minute from `start` on, with the number of ticks in it."""
    most = max(counts, default=0) or 1
    return [
        Mark("ok" if count else "none", title_of_minute(start + n * MINUTE, count), count / most)
        for n, count in enumerate(counts)
    ]


def heat_map(counts: Sequence[int], start: float) -> list[HeatRow]:
    """Return a row for each hour from `start` on, with a mark for each minute.

    The kind of a mark is its shade, from `0` (no tick) to `4`.
    """
    least = min(filter(None, counts), default=0)
    most = max(counts, default=0)
    rows = []
    for first in range(0, len(counts), 60):
        hour = counts[first : first + 60]
        marks = [
            Mark(
                str(find_shade(count, least, most)),
                title_of_minute(start + (first + n) * MINUTE, count),
            )
            for n, count in enumerate(hour)
        ]
        rows.append(HeatRow(clock(start + first * MINUTE)[:5], sum(hour), marks))
    return rows


def find_shade(count: int, least: int, most: int) -> int:
    """Return the shade of a minute: 0 for none, and 1 to 4 from `least` to `most`.

    It follows the square root of the share, so that a few ticks are visible beside a minute with
    thousands.
    """
    if not count:
        return 0
    share = (count - least) / (most - least) if most > least else 0.0
    return 1 + round(sqrt(share) * (SHADES - 2))


def title_of_minute(at: float, count: int) -> str:
    return f"{clock(at)[:5]} UTC: {count:,} tick{'' if count == 1 else 's'}"


def clock(at: float) -> str:
    """Return the time of day in UTC, as `09:00:00`."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
