"""What became of every tick: the ticks to expect, from the schedules as they were, against the
ledger.

Ok ticks are counted by the day, as their number and the sum of their checksums (ledger_ticks.py),
all others are kept one by one, the oldest of many as counts by the hour. So a day is checked by one
comparison; only one that does not match is looked at tick by tick (day_check.py).
"""

from dataclasses import dataclass, field, replace
from math import ceil

from cron_tasks.audit.days import Day, Evidence, Finding
from cron_tasks.audit.model import HOUR
from cron_tasks.audit.model import Account as Account
from cron_tasks.audit.model import Version as Version
from cron_tasks.audit.model import expected as expected
from cron_tasks.audit.model import recorded as recorded
from cron_tasks.audit.model import status_of as status_of
from cron_tasks.audit.reading import PAGE as PAGE
from cron_tasks.audit.reading import days_of as days_of
from cron_tasks.audit.reading import job_ids as job_ids
from cron_tasks.audit.reading import read as read
from cron_tasks.audit.reading import read_open as read_open
from cron_tasks.ledger.day_count import DAY
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.iso8601 import iso_utc

#: Seconds for which a tick that was in hand may still fire after its job was edited or paused.
IN_HAND = 1.0


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


def audit(account: Account, since: float, until: float, now: float) -> Tally:
    """How the ticks of a job after `since` up to `until` ended; `now` is when it was read.

    Where less is known of the job, only what came after `known_from` is judged.
    """
    tally = Tally()
    begin = max(since, account.known_from(since))
    if begin > since:
        tally.known_from[account.job_id] = iso_utc(ceil(begin))
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
    for (hour, status, reason), folded in account.folded.items():
        if begin <= hour * HOUR < until:
            tally.count(status, reason, folded.runs)
            tally.ok -= folded.runs
    tally.doubled += [
        RunId(account.job_id, tick)
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
