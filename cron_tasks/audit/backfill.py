"""Making up for ticks of the past: which of them ran, and opening the others."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import islice

from redis import Redis

from cron_tasks.audit.account import (
    Account,
    days_of,
    expected,
    read,
    read_open,
    recorded,
    status_of,
)
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.day_count import DAY
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.schedules.zones import MICROSECOND
from cron_tasks.store.paging import pages

#: Most ticks in one call.
MOST = 10_000


@dataclass(slots=True)
class Backfill:
    """What becomes of the ticks of a period.

    `missing` maps the run ids to be run to how they ended, None for never. `open` are also those
    that beat has yet to fire. `unsure` are ticks of days on which some ran and nobody can tell any
    more which: they are left alone. `ticks` are all of them.

    Beside them are ticks of the present schedule that were not due: `resting` while the job was
    paused or disabled, `unknown` up to `known_since` (None: nothing is known).
    """

    ticks: int
    missing: dict[RunId, str | None] = field(default_factory=dict)
    ok: int = 0
    open: int = 0
    unsure: int = 0
    resting: int = 0
    unknown: int = 0
    known_since: float | None = None

    def open_all(self, ledger: Ledger, now: float) -> list[RunId]:
        """Have beat begin the missing ones; those that were not open yet."""
        return [each for page in pages(self.missing) for each in self.open_some(ledger, page, now)]

    def open_some(self, ledger: Ledger, run_ids: Sequence[RunId], due: float) -> list[RunId]:
        """Open these of the missing ones, from `due` on for beat; those that were not open yet."""
        new = [each for each in run_ids if self.missing[each] is None]
        again = [each for each in run_ids if self.missing[each] is not None]
        opened = ledger.open(new, due, in_turn=True)
        return opened + ledger.open(again, due, again=True, in_turn=True)


def in_turn(job: Job) -> bool:
    """Whether each tick has to wait for the end of the one before, lest it be skipped."""
    return job.action.type != "notify" and job.overlap != "allow"


def plan(redis: Redis, job: Job, start: float, end: float, now: float) -> Backfill:
    """Judge the ticks that were due from `start` to `end`, both included, until `now`.

    Which were due follows from the versions of the job. Raises RunUnfit for more than MOST.
    """
    end, opened = min(end, now), read_open(redis)
    present = _checked(_ticks(job.schedule, start, end))
    (known,) = read(redis, [job.id], [], opened)
    ticks = _checked(_due(known, start, end))
    found = Backfill(len(ticks))
    _count_others(found, known, present, set(ticks))
    if not ticks:
        return found
    (account,) = read(redis, [job.id], days_of(ticks[0], ticks[-1]), opened)
    kept = {run["run_id"] for run in queries.ended(redis, job.id, "ok")}
    by_count = cache(lambda day: _by_count(account, day, now))
    for tick in ticks:
        name, status = RunId(job.id, tick), _recorded(account, tick)
        if status == "by count":
            status = "ok" if name in kept else by_count(int(tick // DAY))
        if status in ("ok", "open", "unsure"):
            setattr(found, status, getattr(found, status) + 1)
        else:
            found.missing[name] = status
    return found


def _ticks(schedule: Schedule, start: float, end: float) -> Iterator[float]:
    """Yield the ticks with start <= tick <= end, in order."""
    if start <= end:
        first, last = (datetime.fromtimestamp(edge, UTC) for edge in (start, end))
        for moment in schedule.between(first, last + MICROSECOND):
            yield moment.timestamp()


def _due(account: Account, start: float, end: float) -> Iterator[float]:
    """Yield the ticks that the versions of a job made due from `start` to `end`, in order."""
    for version in account.versions:
        if version.schedule:
            for tick in _ticks(
                version.schedule, max(start, version.since), min(end, version.until)
            ):
                if tick > version.since:
                    yield tick


def _checked(ticks: Iterable[float]) -> list[float]:
    """Take the ticks. Raises RunUnfit for more than MOST."""
    found = list(islice(ticks, MOST + 1))
    if len(found) > MOST:
        raise RunUnfit(
            f"these are more than {MOST:,} ticks: end at {iso_utc(found[-2])} at the latest"
        )
    return found


def _count_others(
    found: Backfill, account: Account, present: Iterable[float], due: Container[float]
) -> None:
    """Count the ticks of the present schedule at times at which no schedule counted."""
    found.known_since = min((version.since for version in account.versions), default=None)
    for tick in present:
        version = account.version_at(tick)
        if tick in due or (version and version.schedule):
            continue
        if version:
            found.resting += 1
        elif found.known_since is None or tick <= found.known_since:
            found.unknown += 1


def _recorded(account: Account, tick: float) -> str | None:
    """How a due tick ended; "by count" where only the count of its day can tell."""
    if account.in_hour(tick) and recorded(account, tick) is None:
        return "unsure"
    status, reason = status_of(account, tick)
    return "by count" if (status, reason) == ("ok", None) else status


def _by_count(account: Account, day: int, now: float) -> str | None:
    """How the ticks of a day ended that have no record: ok, or never, or some did: "unsure"."""
    spans = account.spans(day * DAY, min(now, day * DAY + DAY - 0.001))
    silent = sum(
        status_of(account, tick) == ("ok", None)
        for first, last, schedule in spans
        for tick in expected(schedule, first, last, first, last).ticks
    )
    ran, _ = account.count_of(day, ())
    return "ok" if ran >= silent else "unsure" if ran else None
