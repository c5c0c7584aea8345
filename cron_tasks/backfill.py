"""Making up for ticks of the past: which of them ran, and opening the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import islice

from redis import Redis

from cron_tasks import runs
from cron_tasks.account import (
    Account,
    days_of,
    expected,
    read,
    read_open,
    recorded,
    status_of,
    ticks_at,
)
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs import Job
from cron_tasks.ledger import Ledger
from cron_tasks.ledger_ticks import DAY
from cron_tasks.registry import pages
from cron_tasks.schedules.clock import MICROSECOND
from cron_tasks.ticks import iso, run_id

#: Most ticks in one call.
MOST = 10_000


@dataclass(slots=True)
class Backfill:
    """What becomes of the ticks of a period.

    `missing` maps the run ids to be run to how they ended, None for never. `open` are also those
    that beat has yet to fire. `unsure` are ticks of days on which some ran and nobody can tell any
    more which: they are left alone.
    """

    ticks: int
    missing: dict[str, str | None] = field(default_factory=dict)
    ok: int = 0
    open: int = 0
    unsure: int = 0

    def open_all(self, ledger: Ledger, now: float) -> list[str]:
        """Have beat begin the missing ones; those that were not open yet."""
        return [each for page in pages(self.missing) for each in self.open_some(ledger, page, now)]

    def open_some(self, ledger: Ledger, run_ids: Sequence[str], due: float) -> list[str]:
        """Open these of the missing ones, from `due` on for beat; those that were not open yet."""
        new = [each for each in run_ids if self.missing[each] is None]
        again = [each for each in run_ids if self.missing[each] is not None]
        opened = ledger.open(new, due, in_turn=True)
        return opened + ledger.open(again, due, again=True, in_turn=True)


def in_turn(job: Job) -> bool:
    """Whether each tick has to wait for the end of the one before, lest it be skipped."""
    return job.action.type != "notify" and job.overlap != "allow"


def plan(redis: Redis, job: Job, start: float, end: float, now: float) -> Backfill:
    """Judge the ticks of the job's schedule from `start` to `end`, both included, until `now`.

    Raises RunUnfit for more than MOST.
    """
    first, last = (datetime.fromtimestamp(edge, UTC) for edge in (start, min(end, now)))
    moments = islice(job.schedule.between(first, last + MICROSECOND), MOST + 1)
    ticks = [moment.timestamp() for moment in moments]
    if len(ticks) > MOST:
        raise RunUnfit(f"these are more than {MOST:,} ticks: end at {iso(ticks[-2])} at the latest")
    found = Backfill(len(ticks))
    if not ticks:
        return found
    (account,) = read(redis, [job.id], days_of(ticks[0], ticks[-1]), read_open(redis))
    kept = {run["run_id"] for run in runs.ended(redis, job.id, "ok")}
    by_count = cache(lambda day: _by_count(account, day, now))
    for tick in ticks:
        name, status = run_id(job.id, tick), _recorded(account, tick)
        if status == "by count":
            status = "ok" if name in kept else by_count(int(tick // DAY))
        if status in ("ok", "open", "unsure"):
            setattr(found, status, getattr(found, status) + 1)
        else:
            found.missing[name] = status
    return found


def _recorded(account: Account, tick: float) -> str | None:
    """How a tick ended; None for never, "by count" where only the count of its day can tell."""
    version = account.version_at(tick)
    was_due = version and version.schedule and ticks_at(version.schedule, tick)
    if account.in_hour(tick) and recorded(account, tick) is None:
        return "unsure"
    if was_due or tick in account.open or account.record_of(tick):
        status, reason = status_of(account, tick)
        return "by count" if (status, reason) == ("ok", None) else status
    return None


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
