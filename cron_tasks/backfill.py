"""Making up for ticks of the past: which of them ran, and opening the others."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress, islice

from redis import Redis

from cron_tasks import names, runs
from cron_tasks.errors import RunUnfit
from cron_tasks.jobs import Job
from cron_tasks.ledger import DAY, ONE_TICK, Ledger
from cron_tasks.registry import pages
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.clock import MICROSECOND
from cron_tasks.ticks import iso, parse_run_id, run_id

#: Most ticks in one call.
MOST = 10_000


@dataclass(slots=True)
class Backfill:
    """What becomes of the ticks of a period.

    `missing` maps the run ids to be run to how they ended, None for never. `unsure` are ticks of
    days on which some ran and nobody can tell any more which: they are left alone.
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
        return ledger.open(new, due) + ledger.open(again, due, again=True)


def in_turn(job: Job) -> bool:
    """Whether each tick has to wait for the end of the one before, lest it be skipped."""
    return job.action.type != "notify" and job.overlap != "allow"


def plan(redis: Redis, job: Job, start: float, end: float, now: float) -> Backfill:
    """Judge the ticks of the job's schedule from `start` to `end`, both included, until `now`.

    Raises RunUnfit for more than MOST.
    """
    ticks = list(islice(_ticks(job.schedule, start, min(end, now)), MOST + 1))
    if len(ticks) > MOST:
        raise RunUnfit(f"these are more than {MOST:,} ticks: end at {iso(ticks[-2])} at the latest")
    found = Backfill(len(ticks))
    known = _outcomes(redis, job, ticks, now) if ticks else {}
    for tick in ticks:
        status = known.get(tick)
        if status in ("ok", "open", "unsure"):
            setattr(found, status, getattr(found, status) + 1)
        else:
            found.missing[run_id(job.id, tick)] = status
    return found


def _outcomes(redis: Redis, job: Job, ticks: Sequence[float], now: float) -> dict[float, str]:
    """What became of those of the ticks of which anything is known."""
    known = _accounted(redis, job, ticks[0] // DAY * DAY, ticks[-1] // DAY * DAY + DAY)
    kept = {_when(run) for run in runs.ended(redis, job.id, "ok")} - known.keys()
    known |= dict.fromkeys(kept, "ok")
    for page in pages(ticks):
        states = redis.hmget(names.OPEN, [run_id(job.id, tick) for tick in page])
        known.update((tick, "open") for tick in compress(page, states))
    silent: dict[float, list[float]] = defaultdict(list)
    for tick in ticks:
        if tick not in known:
            silent[tick // DAY].append(tick)
    for day, unknown in silent.items():
        ran = int(redis.hget(f"{names.COUNT_PREFIX}{int(day)}", job.id) or 0) // ONE_TICK
        ran -= sum(when // DAY == day for when in kept)
        if ran > 0:
            end = min((day + 1) * DAY - 1e-6, now)
            may_have_run = sum(t not in known for t in _ticks(job.schedule, day * DAY, end))
            known |= dict.fromkeys(unknown, "ok" if ran >= may_have_run else "unsure")
    return known


def _accounted(redis: Redis, job: Job, start: float, end: float) -> dict[float, str]:
    """The ticks that the job's account names; of a range that was missed, those of its schedule."""
    lines = runs.named(redis.zrangebyscore(names.ACCOUNT_PREFIX + job.id, start, end))
    found = [runs.passed_over(redis, job.id, start), *map(runs.shaped, lines)]
    missed: dict[float, str] = {}
    single: dict[float, str] = {}
    for run in filter(None, found):
        if "until" in run:
            until = datetime.fromisoformat(run["until"]).timestamp()
            ticks = _ticks(job.schedule, max(_when(run), start), min(until, end))
            missed.update((tick, run["status"]) for tick in ticks)
        else:
            single[_when(run)] = run["status"]
    return missed | single


def _ticks(schedule: Schedule, start: float, end: float) -> Iterator[float]:
    """The ticks from `start` to `end`, both included."""
    first, last = (datetime.fromtimestamp(edge, UTC) for edge in (start, end))
    return (tick.timestamp() for tick in schedule.between(first, last + MICROSECOND))


def _when(run: runs.Shape) -> float:
    _, when = parse_run_id(run["run_id"]) or ("", 0.0)
    return when
