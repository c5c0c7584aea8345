"""Count how the ticks of a job ended, and find those that were lost or ran twice. Pure.

The ledger counts ok ticks by day, as their number and the sum of their checksums
(`ledger.records`). Every other tick has a separate record, and the oldest of many records are
folded into counts by the hour. So one comparison checks a day. Only a day that does not match is
checked tick by tick (`day_check`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import NamedTuple

from cron_tasks.audit.day_check import DayCheck, Evidence, Finding
from cron_tasks.audit.job_account import JobAccount, expect_ticks, recorded_end
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.durations import DAY, HOUR
from cron_tasks.schedules.iso8601 import iso_utc

#: Seconds after an edit or a pause in which a worker may still start a tick that beat had sent.
IN_HAND = 1.0


class Window(NamedTuple):
    """The period of an audit: after `since` up to and including `until`, in seconds since the
    epoch."""

    since: float
    until: float

    def holds(self, tick: float) -> bool:
        return self.since < tick <= self.until


@dataclass(slots=True)
class Tally:
    """The numbers of ticks by outcome.

    Ticks in `lost` should have ended and did not. Ticks in `doubled` ran twice. Ticks in `unasked`
    ran ok although no schedule asked for them. Each list holds run ids or, for ticks that cannot be
    named, sentences with their number. `known_from` maps the ids of jobs whose records begin only
    within the window to the time from which their ticks are judged (ISO 8601).
    """

    expected: int = 0
    ok: int = 0
    failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    open: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    known_from: dict[str, str] = field(default_factory=dict)

    @property
    def has_faults(self) -> bool:
        return bool(self.lost or self.doubled or self.unasked)

    def count(self, status: str, reason: str | None, times: int = 1) -> None:
        if status in ("skipped", "missed"):
            by_reason = self.skipped if status == "skipped" else self.missed
            by_reason[str(reason)] = by_reason.get(str(reason), 0) + times
        else:
            setattr(self, status, getattr(self, status) + times)

    def add(self, other: "Tally") -> None:
        self.expected += other.expected
        self.ok += other.ok
        self.failed += other.failed
        self.open += other.open
        for status in ("skipped", "missed"):
            for reason, times in getattr(other, status).items():
                self.count(status, reason, times)
        self.lost += other.lost
        self.doubled += other.doubled
        self.unasked += other.unasked
        self.known_from |= other.known_from


@dataclass(slots=True)
class _Days:
    """The expected ticks by day: those that only the day's count covers, and the others.

    The others have a separate record (True: it ended ok).
    """

    counted: dict[int, list[float]] = field(default_factory=dict)
    others: dict[int, dict[float, bool]] = field(default_factory=dict)


def audit_job(account: JobAccount, since: float, until: float, now: float) -> Tally:
    """Return how the ticks of a job after `since` up to `until` ended.

    All times are in seconds since the epoch, and `now` is when `account` was read. If the records
    of the job begin after `since`, only the ticks after `account.known_from` are judged.
    """
    window = Window(max(since, account.known_from(since)), until)
    end = min(now, until // DAY * DAY + DAY - 0.001)
    spans = account.spans(window.since // DAY * DAY, end)
    if len(spans) == 1 and window.since == since and account.is_plain(end):
        first, last, schedule = spans[0]
        found = expect_ticks(schedule, first, last, since, until)
        if account.ok == found.by_day:
            return Tally(expected=found.asked, ok=found.asked)
    tally = Tally()
    if window.since > since:
        tally.known_from[account.job_id] = iso_utc(ceil(window.since))
    ticks = [
        tick
        for first, last, schedule in spans
        for tick in expect_ticks(schedule, first, last, window.since, until).ticks
    ]
    days = _count_ticks(tally, account, ticks, window)
    _count_folded_records(tally, account, window)
    tally.doubled += [
        RunId(account.job_id, tick)
        for tick, _, record in account.records
        if record.get("twice") and window.holds(tick)
    ]
    for day in sorted({*days.counted, *days.others, *account.counted_days}):
        if day >= window.since // DAY:
            for finding in _check_day(account, day, days, window.since):
                _add_finding(tally, account, finding, day, window)
    return tally


def _count_ticks(
    tally: Tally, account: JobAccount, ticks: Iterable[float], window: Window
) -> _Days:
    """Count each tick as it ended, and return the ticks by day.

    A tick without a record counts as ok. `_add_finding` takes back those that were lost.
    """
    days = _Days()
    for tick in ticks:
        ended, day = recorded_end(account, tick), int(tick // DAY)
        if ended is None:
            days.counted.setdefault(day, []).append(tick)
        else:
            days.others.setdefault(day, {})[tick] = ended[0] == "ok"
        if window.holds(tick):
            tally.expected += 1
            tally.count(*(ended or ("ok", None)))
    return days


def _count_folded_records(tally: Tally, account: JobAccount, window: Window) -> None:
    """Move the ticks of which only counts by the hour are left from ok to their outcomes."""
    for (hour, status, reason), folded in account.folded.items():
        if window.since <= hour * HOUR < window.until:
            tally.count(status, reason, folded.runs)
            tally.ok -= folded.runs


def _check_day(account: JobAccount, day: int, days: _Days, known_from: float) -> list[Finding]:
    """Return the faults of a day.

    If only a part of the day is known, its count also holds ticks that can no longer be listed.
    Then only a count below the number of known ticks is wrong.
    """
    ticks = days.counted.get(day, [])
    others: Mapping[float, bool] = days.others.get(day, {})
    number, checksums = account.count_of_day(day, ticks)
    check = DayCheck(account.job_id, day, ticks, others, number, checksums)
    if account.unknown_before > day * DAY:
        known = [tick for tick in ticks if tick > known_from]
        short = replace(check, ticks=known, sum=None)
        return short.find_faults(Evidence()) if number < len(known) else []
    return check.find_faults(account.evidence)


def _add_finding(
    tally: Tally, account: JobAccount, finding: Finding, day: int, window: Window
) -> None:
    """Add a finding to the tally, unless it is known to be outside the window."""
    if finding.tick is None:
        is_inside = window.since < day * DAY + DAY and day * DAY <= window.until
    else:
        is_inside = window.holds(finding.tick) and not (
            finding.kind == "unasked" and _was_in_hand(account, finding.tick)
        )
    if is_inside:
        getattr(tally, finding.kind).append(finding.name)
        if finding.kind == "lost":
            tally.ok -= min(finding.times, max(tally.ok, 0))


def _was_in_hand(account: JobAccount, tick: float) -> bool:
    """Return whether beat had already sent a tick when an edit or a pause came. It still runs."""
    return any(version.until < tick < version.until + IN_HAND for version in account.versions)
