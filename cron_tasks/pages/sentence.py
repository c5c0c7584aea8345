"""Describe the state of the whole system in one sentence. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cron_tasks.schedules.human import format_duration
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of

Level = Literal["ok", "warn", "fail"]
#: Seconds by which a due job may be late before beat counts as absent or stuck.
LATE = 30.0


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence, and its severity."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts for the sentence. Times are spans in seconds.

    `oldest_due` is how long the oldest due job has waited to fire, and `late` the number of jobs
    that have waited longer than LATE. `waiting` is the number of overdue open runs, which no worker
    takes. `list` is the state of the list of jobs, and `list_since` how long it has lasted. `lost`
    is the number of lost ticks in the last audit, None before the first audit. `other_faults` and
    `other_warnings` are the findings of the checks.
    """

    jobs: int
    has_leader: bool
    workers: int
    oldest_due: float
    late: int
    waiting: int
    list: str | None
    list_since: float
    list_detail: str
    failing: int
    causes: int
    lost: int | None
    other_faults: Sequence[str]
    other_warnings: Sequence[str]


def say(now: Situation) -> Headline:
    """Return the worst current problem, or that all is well."""
    faults = [*_say_what_stands_still(now), *_say_what_is_wrong(now)]
    if faults:
        return faults[0]
    lost = "" if now.lost is None else ", none lost in the last day"
    return Headline("ok", f"All is well: {number_of(now.jobs, 'job')}, nothing late{lost}")


def _say_what_stands_still(now: Situation) -> Sequence[Headline]:
    if not now.has_leader and now.oldest_due >= 1:
        lasting = format_duration(now.oldest_due)
        return [Headline("fail", f"Nothing has fired for {lasting}: no beat leads")]
    if not now.has_leader:
        return [Headline("fail", "No beat leads, so no job will fire")]
    if now.late:
        jobs, verb = number_of(now.late, "job"), "is" if now.late == 1 else "are"
        lasting = format_duration(now.oldest_due)
        return [Headline("fail", f"{jobs} {verb} late by up to {lasting}: beat does not keep up")]
    if not now.workers and now.jobs:
        waiting = f": {number_of(now.waiting, 'run')} wait" if now.waiting else ""
        return [Headline("fail", f"No worker gives a sign of life, so no run begins{waiting}")]
    return []


def _say_what_is_wrong(now: Situation) -> Sequence[Headline]:
    found = []
    if now.lost:
        ticks, verb = number_of(now.lost, "tick"), "was" if now.lost == 1 else "were"
        found.append(Headline("fail", f"{ticks} {verb} lost in the last day"))
    if now.list in ("refused", "failing"):
        what = "has been refused" if now.list == "refused" else "could not be read"
        why = f": {printable(now.list_detail, 300)}" if now.list_detail else ""
        text = f"The list of jobs {what} for {format_duration(now.list_since)}{why}"
        found.append(Headline("fail", f"{text}. The jobs run as they were"))
    if now.failing:
        jobs, verb = number_of(now.failing, "job"), "fails" if now.failing == 1 else "fail"
        causes = f", for {number_of(now.causes, 'cause')}" if now.causes > 1 else ""
        found.append(Headline("fail", f"{jobs} of {now.jobs:,} {verb}{causes}"))
    levels: tuple[Level, ...] = ("fail", "warn")
    for level, details in zip(levels, (now.other_faults, now.other_warnings), strict=True):
        if details:
            more = f". {number_of(len(details) - 1, 'more finding')} below" if details[1:] else ""
            found.append(Headline(level, f"All jobs fire, but: {printable(details[0], 300)}{more}"))
    return found
