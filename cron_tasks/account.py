"""What became of every tick: the ticks to expect, from the schedules as they were, against the
ledger.

Ok ticks are counted by the day, as their number and the sum of their milliseconds (ledger.py), all
others are kept one by one. So a day is checked by one comparison; only one that does not match is
looked at tick by tick.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks import entries, names
from cron_tasks.errors import ScheduleError
from cron_tasks.ledger_ticks import DAY, ONE_TICK
from cron_tasks.registry import pages
from cron_tasks.schedules import Schedule
from cron_tasks.ticks import iso, parse_run_id, run_id

#: Accounts read in one go.
PAGE = 500


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

    `records` are the ticks that did not simply end ok: (first, last, record). `ok` is the count of
    a day by day, `open` the state of open ticks, `next` the tick that has not fired yet.
    """

    job_id: str
    versions: list[Version]
    records: list[tuple[float, float, dict[str, Any]]]
    ok: Mapping[int, int]
    open: Mapping[float, str]
    next: float | None
    _single: dict[float, dict[str, Any]] = field(init=False)
    _stretches: list[tuple[float, float, dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self._single = {first: record for first, last, record in self.records if first == last}
        self._stretches = [each for each in self.records if each[0] < each[1]]

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
    by_day: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Tally:
    """The audit so far: how many ticks ended how; those in `lost` should have ended and did not."""

    expected: int = 0
    ok: int = 0
    failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    open: int = 0
    lost: list[str] = field(default_factory=list)

    def count(self, status: str, reason: str | None, times: int = 1) -> None:
        if status in ("skipped", "missed"):
            by_reason = self.skipped if status == "skipped" else self.missed
            by_reason[str(reason)] = by_reason.get(str(reason), 0) + times
        else:
            setattr(self, status, getattr(self, status) + times)

    def add(self, other: "Tally") -> None:
        self.expected += other.expected
        for status in ("ok", "failed", "open"):
            self.count(status, None, getattr(other, status))
        for status in ("skipped", "missed"):
            for reason, times in getattr(other, status).items():
                self.count(status, reason, times)
        self.lost += other.lost


def read(
    redis: Redis, job_ids: Iterable[str], days: Sequence[int], opened: Mapping[str, str]
) -> Iterator[Account]:
    """The accounts of these jobs for some days since 1970; a fixed number of round trips a page.

    `opened` is what `cron_tasks:open` holds.
    """
    by_job: dict[str, dict[float, str]] = {}
    for name, state in opened.items():
        if tick := parse_run_id(name):
            by_job.setdefault(tick[0], {})[tick[1]] = state
    for page in pages(job_ids, PAGE):
        with redis.pipeline(transaction=False) as pipe:
            for day in days:
                pipe.hmget(f"{names.COUNT_PREFIX}{day}", page)
            for job_id in page:
                key = names.entry_key(job_id)
                pipe.hmget(key, "definition", "since", "paused")
                pipe.zscore(names.SCHEDULE, key)
                pipe.lrange(names.VERSIONS_PREFIX + job_id, 0, -1)
                pipe.zrange(names.ACCOUNT_PREFIX + job_id, 0, -1, withscores=True)
            replies = pipe.execute(raise_on_error=False)
        counts, rows = replies[: len(days)], replies[len(days) :]
        for n, job_id in enumerate(page):
            ok = {day: int(row[n]) for day, row in zip(days, counts, strict=True) if row[n]}
            entry, score, past, records = rows[4 * n : 4 * n + 4]
            versions, opened_here = _versions(entry, past), by_job.get(job_id, {})
            ended = [_record(line, first, versions) for line, first in records]
            yield Account(job_id, versions, ended, ok, opened_here, score)


def job_ids(redis: Redis) -> list[str]:
    """All jobs, those among them that were removed not longer ago than is audited."""
    removed = cast("list[str]", redis.zrange(names.REMOVED, 0, -1))
    return list(dict.fromkeys([*cast("list[str]", redis.hkeys(names.JOBS)), *removed]))


def _versions(entry: Any, past: Sequence[str]) -> list[Version]:
    """Oldest first. What cannot be read expects nothing: beat has set it aside."""
    lines = [orjson.loads(line) for line in reversed(past)]
    if not isinstance(entry, Exception) and entry[0] and entry[1]:
        try:
            line = orjson.loads(entry[0])
            line |= {"since": float(entry[1]), "until": float("inf")}
            line["paused"] = orjson.loads(entry[2] or "null")
            lines.append(line)
        except (ValueError, TypeError):
            pass
    return [version for line in lines if (version := _version(line))]


def _version(line: Mapping[str, Any]) -> Version | None:
    why = "" if line["enabled"] else "disabled"
    if line.get("paused"):
        why = f"paused: {line['paused']['reason']}"
    try:
        schedule = None if why else entries.read_schedule(line)
    except ScheduleError:
        return None
    return Version(line["since"], line["until"], schedule, why)


def _record(
    line: str, first: float, versions: Iterable[Version]
) -> tuple[float, float, dict[str, Any]]:
    """The first and the last tick of a record; one without an end lasts until the next edit."""
    record: dict[str, Any] = orjson.loads(line)
    last = first
    if "until" in record:
        last = datetime.fromisoformat(record["until"]).timestamp()
    elif "run_id" not in record:
        last = next((v.until for v in versions if v.since < first <= v.until), first)
    return first, last, record


def ticks_at(schedule: Schedule, when: float) -> bool:
    """Whether `when` is a tick."""
    moment = datetime.fromtimestamp(when, UTC)
    return schedule.latest(moment) == moment


@lru_cache(maxsize=4096)
def expected(schedule: Schedule, start: float, end: float, since: float, until: float) -> Expected:
    """The ticks with start <= tick <= end, of which those after `since` up to `until` are asked
    for."""
    ticks, by_day = [], dict[int, int]()
    moment = datetime.fromtimestamp(start, UTC)
    tick = moment if ticks_at(schedule, start) else schedule.after(moment)
    while tick and (when := tick.timestamp()) <= end:
        ticks.append(when)
        day = int(when // DAY)
        by_day[day] = by_day.get(day, 0) + counted(when)
        tick = schedule.after(tick)
    asked = sum(since < when <= until for when in ticks)
    return Expected(tuple(ticks), asked, tuple(by_day.items()))


def counted(tick: float) -> int:
    """What an ok tick adds to the count of its day."""
    return ONE_TICK + round(tick % DAY * 1000)


def audit(account: Account, since: float, until: float, now: float) -> Tally:
    """How the ticks of a job after `since` up to `until` ended; `now` is when it was read."""
    tally = Tally()
    start = since // DAY * DAY
    end = min(now, until // DAY * DAY + DAY - 0.001)
    spans = account.spans(start, end)
    plain = not account.records and not account.open and not (account.next and account.next <= end)
    if len(spans) == 1 and plain:
        first, last, schedule = spans[0]
        found = expected(schedule, first, last, since, until)
        if all(account.ok.get(day) == count for day, count in found.by_day):
            tally.expected = tally.ok = found.asked
            return tally
    ticks = [
        tick
        for first, last, schedule in spans
        for tick in expected(schedule, first, last, since, until).ticks
    ]
    unrecorded = []
    for tick in ticks:
        status, reason = status_of(account, tick)
        if status == "ok" and reason is None:
            unrecorded.append(tick)
        if since < tick <= until:
            tally.expected += 1
            tally.count(status, reason)
    for lost, name in _lost(account, unrecorded):
        if since < lost[-1] and lost[0] <= until:
            tally.ok -= len(lost)
            tally.lost.append(name)
    return tally


def status_of(account: Account, tick: float) -> tuple[str, str | None]:
    """How an expected tick ended, and why; ok without a reason rests on the count alone."""
    if tick in account.open or (account.next is not None and tick >= account.next):
        return "open", None
    if record := account.record_of(tick):
        return record["status"], record.get("reason") or "recorded"
    return "ok", None


def _lost(account: Account, ticks: Iterable[float]) -> Iterator[tuple[list[float], str]]:
    """Ticks that should have been counted and were not, with the name of each or of their day."""
    by_day: dict[int, list[float]] = {}
    for tick in ticks:
        by_day.setdefault(int(tick // DAY), []).append(tick)
    for day, found in by_day.items():
        lacking = sum(map(counted, found)) - account.ok.get(day, 0)
        missing = max(lacking // ONE_TICK, 0)
        known = [tick for tick in found if missing == len(found) or counted(tick) == lacking]
        if known:
            yield from (([tick], run_id(account.job_id, tick)) for tick in known)
        elif missing:
            about = f"{missing} of the {len(found)} ticks of {account.job_id}"
            yield found[:missing], f"{about} on {iso(day * DAY)[:10]}"


def read_open(redis: Redis) -> dict[str, str]:
    return cast("dict[str, str]", redis.hgetall(names.OPEN))


def days_of(since: float, until: float) -> range:
    """The days since 1970 that the time touches."""
    return range(int(since // DAY), int(until // DAY) + 1)
