"""The account of the ticks of one job, which shows how each of them ended. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cron_tasks.audit.day_check import Evidence
from cron_tasks.ledger.day_count import DayCount, checksum_of, count_one, milliseconds_in_day
from cron_tasks.ledger.state import State
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.catchup import is_fire_time
from cron_tasks.schedules.durations import DAY, HOUR

#: Counts by the hour: hour since 1970, status and reason.
Folded = Mapping[tuple[int, str, str | None], DayCount]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a job, in force after `since` up to and including `until` (infinity: today).

    Without a `schedule` no tick was due, for the reason `why`: "disabled" or "paused: <reason>".
    """

    since: float
    until: float
    schedule: Schedule | None
    why: str = ""


@dataclass(slots=True)
class JobAccount:
    """The known facts about one job's ticks. Times are in seconds since the epoch.

    - `versions`: the versions of the job, oldest first.
    - `records`: the ticks that did not simply end ok, as (first, last, record).
    - `ok`: the count of ok ticks by day. `old_ok` is the count that the version before kept, whose
      sum is one of milliseconds.
    - `open`: the state of each open tick. `next` is the next tick that has not fired yet.
    - `folded`: the counts that are left of the oldest records, if a job had many.
    - `unknown_before`: records from before this time were dropped.
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
        """The days with a count."""
        return {*self.ok, *self.old_ok}

    def is_plain(self, end: float) -> bool:
        """Return whether only the counts of this version have to be checked up to `end`."""
        special = self.records or self.open or self.old_ok or self.folded
        return not (special or (self.next and self.next <= end))

    def known_from(self, since: float) -> float:
        """Return the time from `since` on after which the end of each tick is known.

        If only counts are left of the hour of `since`, that is just before the next hour.
        """
        since = max(since, self.unknown_before)
        if not any(hour == int(since // HOUR) for hour, *_ in self.folded):
            return since
        version = self.version_at(since)
        is_due = version and version.schedule and is_fire_time(version.schedule, since)
        if since % HOUR == 0 and not is_due:
            return since
        return (since // HOUR + 1) * HOUR - 0.001

    def counts_in_hour(self, tick: float) -> dict[tuple[str, str | None], int]:
        """Return the counts that are left for a tick's hour, by status and reason."""
        hour = int(tick // HOUR)
        return {(s, r): count.runs for (h, s, r), count in self.folded.items() if h == hour}

    def count_of_day(self, day: int, ticks: Iterable[float]) -> tuple[int, int | None]:
        """Return the number of counted ticks of a day, and the sum of their checksums.

        The sum is None if the previous version counted a part of them, as on the day of the
        upgrade. If it counted exactly `ticks`, the sum is computed from these.
        """
        count = DayCount.unpack(self.ok.get(day, 0))
        for (hour, *_), folded in self.folded.items():
            if hour // 24 == day:
                count += folded
        if not (packed := self.old_ok.get(day, 0)):
            return count.runs, count.checksums
        old = DayCount.unpack(packed)
        if count.runs == 0 and old == _old_count(ticks):
            return old.runs, sum(map(checksum_of, ticks))
        return count.runs + old.runs, None

    def version_at(self, when: float) -> Version | None:
        return next((v for v in self.versions if v.since < when <= v.until), None)

    def spans(self, start: float, end: float) -> list[tuple[float, float, Schedule]]:
        """Return the schedules in force from `start` to `end`, each with the first and the last
        moment in that period at which its ticks are due."""
        return [
            (max(_just_after(v.since), start), min(v.until, end), v.schedule)
            for v in self.versions
            if v.schedule and v.since < end and v.until > start
        ]

    def record_of(self, tick: float) -> dict[str, Any] | None:
        """Return the record of a tick, or None if it simply ended ok.

        A record of the tick alone takes precedence over a record of a stretch, and a shorter
        stretch over a longer one.
        """
        if tick in self._single:
            return self._single[tick]
        about = [each for each in self._stretches if each[0] <= tick <= each[1]]
        return min(about, key=lambda each: each[1] - each[0])[2] if about else None


@dataclass(frozen=True, slots=True)
class Expected:
    """The ticks of a period, the number of them that are requested, and their count by day."""

    ticks: tuple[float, ...]
    asked: int
    by_day: Mapping[int, int]


@lru_cache(maxsize=4096)
def expect_ticks(
    schedule: Schedule, start: float, end: float, since: float, until: float
) -> Expected:
    """Return the ticks with start <= tick <= end.

    The requested ticks are those with since < tick <= until.
    """
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


def recorded_end(account: JobAccount, tick: float) -> tuple[str, str | None] | None:
    """Return status and reason of an expected tick, or None if only counts can show them.

    The status of a tick that has not ended is "open".
    """
    if tick in account.open or (account.next is not None and tick >= account.next):
        return "open", None
    if record := account.record_of(tick):
        return record["status"], record.get("reason")
    return None


def status_of(account: JobAccount, tick: float) -> tuple[str, str | None]:
    """Return status and reason of an expected tick.

    The reason is "recorded" if the tick has a record without one. ("ok", None) rests on the count
    alone. The status is "unsure" if only counts are left of the tick's hour and its ticks ended
    differently.
    """
    ended = recorded_end(account, tick)
    if ended is not None:
        return ended[0], ended[1] or "recorded"
    counts = account.counts_in_hour(tick)
    if not counts:
        return "ok", None
    start = tick // HOUR * HOUR
    unrecorded = [
        each
        for first, last, schedule in account.spans(start, start + HOUR - 0.001)
        for each in expect_ticks(schedule, first, last, first, last).ticks
        if recorded_end(account, each) is None
    ]
    if len(counts) == 1 and sum(counts.values()) == len(unrecorded):
        ((status, reason),) = counts
        return status, reason
    return "unsure", None


def _just_after(moment: float) -> float:
    """Return the next microsecond, because schedules round a moment to microseconds."""
    return (round(moment * 1e6) + 1) / 1e6


def _old_count(ticks: Iterable[float]) -> DayCount:
    """Return the count of the previous version, which adds up milliseconds instead of checksums."""
    found = list(map(milliseconds_in_day, ticks))
    return DayCount(len(found), sum(found))
