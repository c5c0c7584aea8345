"""Find the ticks of a period that did not run, and open them."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import islice

from redis import Redis
from redis.lock import Lock

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.job_account import JobAccount, expect_ticks, recorded_end, status_of
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.schedules.zones import MICROSECOND
from cron_tasks.store import keys
from cron_tasks.store.paging import pages

#: The most ticks in one backfill.
MOST = 10_000
#: Seconds between checking the ticks and opening them, at most.
LOCKED = 30.0


@dataclass(slots=True)
class Backfill:
    """The ticks of a period that were due, and what a backfill does with each of them.

    - `missing`: the run ids to run, with the status that each ended with (None: it never ran).
    - `ok`: how many ran ok. `open`: how many are open, or beat has yet to fire.
    - `unsure`: how many belong to days on which only some ticks ran, without a record of which.
      They are left alone.
    - `ticks`: how many were due in all.

    Other ticks of the present schedule were not due: `resting` of them while the job was paused or
    disabled, `unknown` of them before the first known version of the job, at `known_since` (seconds
    since the epoch, or None if no version is known).
    """

    ticks: int
    missing: dict[RunId, str | None] = field(default_factory=dict)
    ok: int = 0
    open: int = 0
    unsure: int = 0
    resting: int = 0
    unknown: int = 0
    known_since: float | None = None

    def is_still_missing(self, redis: Redis, job: Job, run_id: RunId, now: float) -> bool:
        """Look up again how one of the missing ticks ended, and return whether to run it.

        Another command may have run it meanwhile. If other ticks of its day ran, its status may be
        unsure by the count. It is still missing, because a manual run would have a separate record.
        """
        when = run_id.scheduled_for
        found = plan_backfill(redis, job, when, when, now)
        self.missing |= found.missing
        return not (found.ok or found.open)

    def open_all(self, ledger: Ledger, now: float) -> list[RunId]:
        """Open the missing ticks, due `now`. Return the run ids that were not open yet."""
        return [each for page in pages(self.missing) for each in self.open_some(ledger, page, now)]

    def open_some(self, ledger: Ledger, run_ids: Sequence[RunId], due: float) -> list[RunId]:
        """Open some of the missing ticks. Beat sends them from `due` on, unless a caller does.

        Return the run ids that were not open yet.
        """
        new = [each for each in run_ids if self.missing[each] is None]
        again = [each for each in run_ids if self.missing[each] is not None]
        opened = ledger.open(new, due, in_turn=True)
        return opened + ledger.open(again, due, again=True, in_turn=True)


def must_run_in_turn(job: Job) -> bool:
    """Return whether each run has to wait for the end of the previous one, because it would be
    skipped."""
    return job.action.type != "notify" and job.overlap != "allow"


def lock_backfills(redis: Redis, job_id: str) -> Lock:
    """Return a lock for the time from checking the ticks of a job until the missing ones are
    opened.

    Without it, another backfill could open a tick in between, which would end and run once more.
    """
    key = keys.BACKFILL_LOCK_PREFIX + job_id
    lock: Lock = redis.lock(key, timeout=LOCKED, sleep=0.02, blocking_timeout=2 * LOCKED)
    return lock


def plan_backfill(redis: Redis, job: Job, start: float, end: float, now: float) -> Backfill:
    """Find out which ticks were due from `start` to `end`, both included, and how they ended.

    All times are in seconds since the epoch. The versions of the job decide which ticks were due.
    Raises RunUnfit if there are more than MOST.
    """
    end, opened = min(end, now), read_open_ticks(redis)
    present = _collect(_ticks_between(job.schedule, start, end))
    (known,) = read_accounts(redis, [job.id], [], opened)
    ticks = _collect(_due_ticks(known, start, end))
    found = Backfill(len(ticks))
    _count_not_due(found, known, present, set(ticks))
    if not ticks:
        return found
    (account,) = read_accounts(redis, [job.id], days_between(ticks[0], ticks[-1]), opened)
    ran_ok = {run["run_id"] for run in queries.list_ended(redis, job.id, "ok")}
    status_by_count = cache(lambda day: _judge_by_count(account, day, now))
    for tick in ticks:
        name, status = RunId(job.id, tick), _recorded_status(account, tick)
        if status == "by count":
            status = "ok" if name in ran_ok else status_by_count(int(tick // DAY))
        if status in ("ok", "open", "unsure"):
            setattr(found, status, getattr(found, status) + 1)
        else:
            found.missing[name] = status
    return found


def _ticks_between(schedule: Schedule, start: float, end: float) -> Iterator[float]:
    """Yield the ticks with start <= tick <= end, in order."""
    if start <= end:
        first, last = (datetime.fromtimestamp(edge, UTC) for edge in (start, end))
        for moment in schedule.between(first, last + MICROSECOND):
            yield moment.timestamp()


def _due_ticks(account: JobAccount, start: float, end: float) -> Iterator[float]:
    """Yield the ticks that the versions of a job made due from `start` to `end`, in order."""
    for version in account.versions:
        if version.schedule:
            first, last = max(start, version.since), min(end, version.until)
            for tick in _ticks_between(version.schedule, first, last):
                if tick > version.since:
                    yield tick


def _collect(ticks: Iterable[float]) -> list[float]:
    """Return the ticks as a list. Raises RunUnfit if there are more than MOST."""
    found = list(islice(ticks, MOST + 1))
    if len(found) > MOST:
        latest = iso_utc(found[-2])
        raise RunUnfit(f"This period has more than {MOST:,} ticks. Use --to {latest} or earlier")
    return found


def _count_not_due(
    found: Backfill, account: JobAccount, present: Iterable[float], due: Container[float]
) -> None:
    """Count the ticks of the present schedule that were not due."""
    found.known_since = min((version.since for version in account.versions), default=None)
    for tick in present:
        version = account.version_at(tick)
        if tick in due or (version and version.schedule):
            continue
        if version:
            found.resting += 1
        elif found.known_since is None or tick <= found.known_since:
            found.unknown += 1


def _recorded_status(account: JobAccount, tick: float) -> str | None:
    """Return how a due tick ended, or "by count" if only the count of its day shows it."""
    if account.counts_in_hour(tick) and recorded_end(account, tick) is None:
        return "unsure"
    status, reason = status_of(account, tick)
    return "by count" if (status, reason) == ("ok", None) else status


def _judge_by_count(account: JobAccount, day: int, now: float) -> str | None:
    """Return how the ticks of a day without a record ended.

    "ok" if all of them ran, None if none did, and "unsure" if some did.
    """
    spans = account.spans(day * DAY, min(now, day * DAY + DAY - 0.001))
    unrecorded = sum(
        status_of(account, tick) == ("ok", None)
        for first, last, schedule in spans
        for tick in expect_ticks(schedule, first, last, first, last).ticks
    )
    ran, _ = account.count_of_day(day, ())
    return "ok" if ran >= unrecorded else "unsure" if ran else None
