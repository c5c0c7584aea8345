"""What became of every tick: the ticks to expect, from the schedules as they were, against the
ledger.

Ok ticks are counted by the day, as their number and the sum of their checksums (ledger_ticks.py),
all others are kept one by one, the oldest of many as counts by the hour. So a day is checked by one
comparison; only one that does not match is looked at tick by tick (day_check.py).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks import entries, names
from cron_tasks.day_check import Day, Evidence, Finding
from cron_tasks.errors import ScheduleError
from cron_tasks.ledger_ticks import DAY, ONE_TICK, milliseconds
from cron_tasks.ledger_ticks import counted as counted
from cron_tasks.registry import pages
from cron_tasks.schedules import Schedule
from cron_tasks.ticks import iso, parse_run_id, run_id

#: Accounts read in one go.
PAGE = 500
HOUR = 3600
#: Seconds for which a tick that was in hand may still fire after its job was edited or paused.
IN_HAND = 1.0
#: The version before kept so many versions of a job, and did not tell when it dropped one.
OLD_MOST = 999
#: Counts by the hour: (hour since 1970, status, reason) to the number and the sum of checksums.
Folded = Mapping[tuple[int, str, str | None], tuple[int, int]]


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
    open: Mapping[float, str]
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
        due = version and version.schedule and ticks_at(version.schedule, since)
        if since % HOUR == 0 and not due:
            return since
        return (since // HOUR + 1) * HOUR - 0.001

    def in_hour(self, tick: float) -> dict[tuple[str, str | None], int]:
        """The counts that are left of a tick's hour, by status and reason."""
        hour = int(tick // HOUR)
        return {(s, r): number for (h, s, r), (number, _) in self.folded.items() if h == hour}

    def count_of(self, day: int, ticks: Iterable[float]) -> tuple[int, int | None]:
        """How many ticks of a day were counted, and the sum of their checksums; None where a part
        of them was counted by the version before, as on the day of the upgrade."""
        number, checksums = divmod(self.ok.get(day, 0), ONE_TICK)
        for (hour, *_), (folded, its_sum) in self.folded.items():
            if hour // 24 == day:
                number, checksums = number + folded, checksums + its_sum
        if not (old := self.old_ok.get(day, 0)):
            return number, checksums
        old_number, old_sum = divmod(old, ONE_TICK)
        if number == 0 and (old_number, old_sum) == _in_milliseconds(ticks):
            return old_number, sum(counted(tick) - ONE_TICK for tick in ticks)
        return number + old_number, None

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


@dataclass(slots=True)
class Tally:
    """The audit so far: how many ticks ended how.

    Those in `lost` should have ended and did not, those in `doubled` ran twice, and those in
    `unasked` ran ok although no schedule asked for them; where they cannot be named, it is said how
    many there are. `known_from` are jobs of which less is known, and from when on it is.
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
    def wrong(self) -> bool:
        return bool(self.lost or self.doubled or self.unasked)

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
        for kind in ("lost", "doubled", "unasked"):
            getattr(self, kind).extend(getattr(other, kind))
        self.known_from |= other.known_from


def read(
    redis: Redis,
    job_ids: Iterable[str],
    days: Sequence[int],
    opened: Mapping[str, str] | None = None,
) -> Iterator[Account]:
    """The accounts of these jobs for some days since 1970; a fixed number of round trips a page.

    `opened` is what `cron_tasks:open` holds. Without it each page is read in one transaction, the
    open ticks and the histories with it, so that what an account says was so at one instant.
    """
    for page in pages(job_ids, PAGE):
        with redis.pipeline(transaction=opened is None) as pipe:
            for day in days:
                pipe.hmget(f"{names.COUNT_PREFIX}{day}", page)
                pipe.hmget(f"{names.OLD_COUNT_PREFIX}{day}", page)
            for job_id in page:
                key = names.entry_key(job_id)
                pipe.hmget(key, "definition", "since", "paused")
                pipe.zscore(names.SCHEDULE, key)
                pipe.lrange(names.VERSIONS_PREFIX + job_id, 0, -1)
                pipe.zrange(names.ACCOUNT_PREFIX + job_id, 0, -1, withscores=True)
            if opened is None:
                pipe.hgetall(names.OPEN)
                _ask_for_rest(pipe, page)
            replies = pipe.execute(raise_on_error=False)
            first = 2 * len(days)
            counts, rows = replies[:first], replies[first : first + 4 * len(page)]
            rest = dict(zip(page, _pairs(replies[first + 4 * len(page) + 1 :]), strict=False))
            if opened is None:
                by_job = _by_job(replies[first + 4 * len(page)])
            else:
                by_job = _by_job(opened)
                # Only beside records are there counts of older ones.
                long = [job_id for n, job_id in enumerate(page) if rows[4 * n + 3]]
                _ask_for_rest(pipe, long)
                rest = dict(zip(long, _pairs(pipe.execute(raise_on_error=False)), strict=True))
        for n, job_id in enumerate(page):
            ok, old_ok = (
                {day: int(row[n]) for day, row in zip(days, half, strict=True) if row[n]}
                for half in (counts[::2], counts[1::2])
            )
            row = rows[4 * n : 4 * n + 4]
            found = _account(job_id, row, ok, old_ok, by_job.get(job_id, {}))
            yield _with_rest(found, *rest[job_id]) if job_id in rest else found


def _ask_for_rest(pipe: Any, job_ids: Iterable[str]) -> None:
    """Ask for what only few jobs have or need: counts of old records, and the history."""
    for job_id in job_ids:
        pipe.hgetall(names.FOLDED_PREFIX + job_id)
        pipe.lrange(names.HISTORY_PREFIX + job_id, 0, -1)


def _pairs(replies: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(replies[::2], replies[1::2], strict=True)


def _account(
    job_id: str,
    row: Sequence[Any],
    ok: Mapping[int, int],
    old_ok: Mapping[int, int],
    opened: Mapping[float, str],
) -> Account:
    entry, score, lines, records = row
    versions, forgotten = _versions(entry, lines)
    ended = [_record(line, first, versions) for line, first in records]
    return Account(job_id, versions, ended, ok, opened, score, old_ok, unknown_before=forgotten)


def _with_rest(account: Account, folded: Any, past: Any) -> Account:
    """The account with what is left of its oldest records, and with what its history shows."""
    counts, by_hand, unknown = _folded(folded if isinstance(folded, dict) else {})
    return replace(
        account,
        records=account.records + by_hand,
        folded=counts,
        unknown_before=max(account.unknown_before, unknown),
        evidence=evidence(past if isinstance(past, list) else []),
    )


def _by_job(opened: Mapping[str, str]) -> dict[str, dict[float, str]]:
    by_job: dict[str, dict[float, str]] = {}
    for name, state in opened.items():
        if tick := parse_run_id(name):
            by_job.setdefault(tick[0], {})[tick[1]] = state
    return by_job


def _folded(
    fields: Mapping[str, str],
) -> tuple[Folded, list[tuple[float, float, dict[str, Any]]], float]:
    """The counts by the hour, the runs by hand, and until when stretches were dropped."""
    counts, by_hand, unknown = dict[tuple[int, str, str | None], tuple[int, int]](), [], 0.0
    for name, value in fields.items():
        if name == "until":
            unknown = datetime.fromisoformat(value).timestamp()
        elif name.startswith("@"):
            when, (status, reason, *twice) = float(name[1:]), value.split(":")
            ended = {"status": status, "reason": reason or None, "twice": bool(twice)}
            by_hand.append((when, when, ended))
        else:
            hour, status, reason = name.split(":", 2)
            number, checksums = divmod(int(value), ONE_TICK)
            counts[int(hour), status, reason or None] = number, checksums
    return counts, by_hand, unknown


def evidence(lines: Sequence[str]) -> Evidence:
    """What a job's history shows, newest first."""
    ok, ended, since = Counter[float](), set[float](), float("inf")
    for record in map(orjson.loads, lines):
        tick = parse_run_id(record["run_id"])
        if "until" in record or tick is None:
            continue
        ended.add(tick[1])
        since = record["finished_at"]
        ok[tick[1]] += record["status"] == "ok"
    return Evidence(ok, frozenset(ended), since)


def _in_milliseconds(ticks: Iterable[float]) -> tuple[int, int]:
    """The count of the version before: the number of ticks and the sum of their milliseconds."""
    found = list(map(milliseconds, ticks))
    return len(found), sum(found)


def job_ids(redis: Redis) -> list[str]:
    """All jobs, those among them that were removed not longer ago than is audited."""
    removed = cast("list[str]", redis.zrange(names.REMOVED, 0, -1))
    return list(dict.fromkeys([*cast("list[str]", redis.hkeys(names.JOBS)), *removed]))


def _versions(entry: Any, past: Sequence[str]) -> tuple[list[Version], float]:
    """Oldest first, and until when counted those that were dropped; 0 for none.

    What cannot be read expects nothing: beat has set it aside.
    """
    lines = [orjson.loads(line) for line in reversed(past)]
    forgotten = max((line["forgotten"] for line in lines if "forgotten" in line), default=0.0)
    if len(lines) >= OLD_MOST and not forgotten:
        forgotten = lines[0]["since"]
    lines = [line for line in lines if "forgotten" not in line]
    if not isinstance(entry, Exception) and entry[0] and entry[1]:
        try:
            line = orjson.loads(entry[0])
            line |= {"since": float(entry[1]), "until": float("inf")}
            line["paused"] = orjson.loads(entry[2] or "null")
            lines.append(line)
        except (ValueError, TypeError):
            pass
    return [version for line in lines if (version := _version(line))], forgotten


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
    return Expected(tuple(ticks), asked, by_day)


def audit(account: Account, since: float, until: float, now: float) -> Tally:
    """How the ticks of a job after `since` up to `until` ended; `now` is when it was read.

    Where less is known of the job, only what came after `known_from` is judged.
    """
    tally = Tally()
    begin = max(since, account.known_from(since))
    if begin > since:
        tally.known_from[account.job_id] = iso(ceil(begin))
    start = begin // DAY * DAY
    end = min(now, until // DAY * DAY + DAY - 0.001)
    spans = account.spans(start, end)
    if len(spans) == 1 and begin == since and account.plain(end):
        first, last, schedule = spans[0]
        found = expected(schedule, first, last, since, until)
        if account.ok == found.by_day:
            tally.expected = tally.ok = found.asked
            return tally
    ticks = [
        tick
        for first, last, schedule in spans
        for tick in expected(schedule, first, last, begin, until).ticks
    ]
    counted_by_day, others_by_day = dict[int, list[float]](), dict[int, dict[float, bool]]()
    for tick in ticks:
        ended, day = recorded(account, tick), int(tick // DAY)
        if ended is None:
            counted_by_day.setdefault(day, []).append(tick)
        else:
            others_by_day.setdefault(day, {})[tick] = ended[0] == "ok"
        if begin < tick <= until:
            tally.expected += 1
            tally.count(*(ended or ("ok", None)))
    for (hour, status, reason), (number, _) in account.folded.items():
        if begin <= hour * HOUR < until:
            tally.count(status, reason, number)
            tally.ok -= number
    tally.doubled += [
        run_id(account.job_id, tick)
        for tick, _, record in account.records
        if record.get("twice") and begin < tick <= until
    ]
    for day in sorted({*counted_by_day, *others_by_day, *account.counted_days}):
        if day < begin // DAY:
            continue
        there = counted_by_day.get(day, [])
        for finding in _day_findings(account, day, there, others_by_day.get(day, {}), begin):
            _note(tally, account, finding, day, (begin, until))
    return tally


def _day_findings(
    account: Account, day: int, ticks: list[float], others: dict[float, bool], known_from: float
) -> list[Finding]:
    """What is wrong with a day; of one of which only a part is known, only too low a number."""
    number, checksums = account.count_of(day, ticks)
    checked = Day(account.job_id, day, ticks, others, number, checksums)
    if account.unknown_before > day * DAY:
        known = [tick for tick in ticks if tick > known_from]
        short = replace(checked, ticks=known, sum=None)
        return short.findings(Evidence()) if number < len(known) else []
    return checked.findings(account.evidence)


def _note(
    tally: Tally, account: Account, finding: Finding, day: int, window: tuple[float, float]
) -> None:
    """Add a finding to the tally, unless it is known to be outside the window."""
    since, until = window
    if finding.tick is None:
        inside = since < day * DAY + DAY and day * DAY <= until
    else:
        inside = since < finding.tick <= until
    if finding.kind == "unasked" and finding.tick is not None:
        # What was in hand when an edit or a pause came is still run.
        inside = inside and not any(
            version.until < finding.tick < version.until + IN_HAND for version in account.versions
        )
    if inside:
        getattr(tally, finding.kind).append(finding.name)
        if finding.kind == "lost":
            tally.ok -= min(finding.times, max(tally.ok, 0))


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


def read_open(redis: Redis) -> dict[str, str]:
    return cast("dict[str, str]", redis.hgetall(names.OPEN))


def days_of(since: float, until: float) -> range:
    """The days since 1970 that the time touches."""
    return range(int(since // DAY), int(until // DAY) + 1)
