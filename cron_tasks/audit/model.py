"""What is known of the ticks of one job, and how each of them ended. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cron_tasks.audit.days import Evidence
from cron_tasks.ledger.day_count import (
    DAY,
    DayCount,
    checksum_of,
    count_one,
    milliseconds_in_day,
)
from cron_tasks.ledger.state import State
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.catchup import is_fire_time

HOUR = 3600
#: Counts by the hour: hour since 1970, status and reason.
Folded = Mapping[tuple[int, str, str | None], DayCount]


@dataclass(frozen=True, slots=True)
class Version:
    """What counted for a job after `since` up to and with `until` (infinity: it still does).

    Without a `schedule` no tick was due; `why` says why: "disabled", "paused: <reason>".
    """

    since: float
    until: float
    schedule: Schedule | None
    why: str = ""


@dataclass(slots=True)
class Account:
    """All that is known of one job's ticks; times are in seconds since the epoch.

    `records` are the ticks that did not simply end ok: (first, last, record); `folded` is what is
    left of the oldest of many. `ok` is the count of a day by day, `old_ok` that of the version
    before, whose sum is one of milliseconds. `open` are the states of open ticks, `next` is the
    tick that has not fired yet. Of the time up to `unknown_before` not everything is known.
    """

    job_id: str
    versions: list[Version]
    records: list[tuple[float, float, dict[str, Any]]]
    ok: Mapping[int, int]
    open: Mapping[float, State]
    next: float | None
    old_ok: Mapping[int, int] = field(default_factory=dict)
    folded: Folded = field(default_factory=dict)
    unknown_before: float = 0.0
    evidence: Evidence = field(default_factory=Evidence)
    _single: dict[float, dict[str, Any]] = field(init=False)
    _stretches: list[tuple[float, float, dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self._single = {first: record for first, last, record in self.records if first == last}
        self._stretches = [each for each in self.records if each[0] < each[1]]

    @property
    def counted_days(self) -> set[int]:
        """The days of which something was counted."""
        return {*self.ok, *self.old_ok}

    def plain(self, end: float) -> bool:
        """Whether all that is known up to `end` is the counts of this version."""
        special = self.records or self.open or self.old_ok or self.folded
        return not (special or (self.next and self.next <= end))

    def known_from(self, since: float) -> float:
        """After when, not before `since`, it is known how each tick ended: just before the next
        hour where only counts are left of the hour of `since`."""
        since = max(since, self.unknown_before)
        if not any(hour == int(since // HOUR) for hour, *_ in self.folded):
            return since
        version = self.version_at(since)
        due = version and version.schedule and is_fire_time(version.schedule, since)
        if since % HOUR == 0 and not due:
            return since
        return (since // HOUR + 1) * HOUR - 0.001

    def in_hour(self, tick: float) -> dict[tuple[str, str | None], int]:
        """The counts that are left of a tick's hour, by status and reason."""
        hour = int(tick // HOUR)
        return {(s, r): count.runs for (h, s, r), count in self.folded.items() if h == hour}

    def count_of(self, day: int, ticks: Iterable[float]) -> tuple[int, int | None]:
        """How many ticks of a day were counted, and the sum of their checksums; None where a part
        of them was counted by the version before, as on the day of the upgrade."""
        count = DayCount.unpack(self.ok.get(day, 0))
        for (hour, *_), folded in self.folded.items():
            if hour // 24 == day:
                count += folded
        if not (packed := self.old_ok.get(day, 0)):
            return count.runs, count.checksums
        old = DayCount.unpack(packed)
        if count.runs == 0 and old == _count_in_milliseconds(ticks):
            return old.runs, sum(map(checksum_of, ticks))
        return count.runs + old.runs, None

    def version_at(self, when: float) -> Version | None:
        return next((v for v in self.versions if v.since < when <= v.until), None)

    def spans(self, start: float, end: float) -> list[tuple[float, float, Schedule]]:
        """Which schedules counted in a time, each from its first to its last second."""
        return [
            (max(v.since + 0.001, start), min(v.until, end), v.schedule)
            for v in self.versions
            if v.schedule and v.since < end and v.until > start
        ]

    def record_of(self, tick: float) -> dict[str, Any] | None:
        """What became of a tick, where it did not simply end ok; what was said of it alone counts
        more than what was said of a stretch."""
        if tick in self._single:
            return self._single[tick]
        about = [each for each in self._stretches if each[0] <= tick <= each[1]]
        return min(about, key=lambda each: each[1] - each[0])[2] if about else None


@dataclass(frozen=True, slots=True)
class Expected:
    """Ticks of a time, how many of them are asked for, and their count by day."""

    ticks: tuple[float, ...]
    asked: int
    by_day: Mapping[int, int]


@lru_cache(maxsize=4096)
def expected(schedule: Schedule, start: float, end: float, since: float, until: float) -> Expected:
    """The ticks with start <= tick <= end, of which those after `since` up to `until` are asked
    for."""
    ticks, by_day = [], dict[int, int]()
    moment = datetime.fromtimestamp(start, UTC)
    tick = moment if is_fire_time(schedule, start) else schedule.after(moment)
    while tick and (when := tick.timestamp()) <= end:
        ticks.append(when)
        day = int(when // DAY)
        by_day[day] = by_day.get(day, 0) + count_one(when)
        tick = schedule.after(tick)
    asked = sum(since < when <= until for when in ticks)
    return Expected(tuple(ticks), asked, by_day)


def recorded(account: Account, tick: float) -> tuple[str, str | None] | None:
    """How an expected tick ended, and why; None when only counts can tell."""
    if tick in account.open or (account.next is not None and tick >= account.next):
        return "open", None
    if record := account.record_of(tick):
        return record["status"], record.get("reason")
    return None


def status_of(account: Account, tick: float) -> tuple[str, str | None]:
    """How an expected tick ended, and why; ok without a reason rests on the count alone.

    "unsure" when of its hour only counts are kept, and some ticks ended one way and some another.
    """
    ended = recorded(account, tick)
    if ended is not None:
        return ended[0], ended[1] or "recorded"
    counts = account.in_hour(tick)
    if not counts:
        return "ok", None
    start = tick // HOUR * HOUR
    there = [
        each
        for first, last, schedule in account.spans(start, start + HOUR - 0.001)
        for each in expected(schedule, first, last, first, last).ticks
        if recorded(account, each) is None
    ]
    if len(counts) == 1 and sum(counts.values()) == len(there):
        ((status, reason),) = counts
        return status, reason
    return "unsure", None


def _count_in_milliseconds(ticks: Iterable[float]) -> DayCount:
    """Return the count of the version before, which adds up milliseconds in place of checksums."""
    found = list(map(milliseconds_in_day, ticks))
    return DayCount(len(found), sum(found))
