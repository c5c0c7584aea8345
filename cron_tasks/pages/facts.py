"""The data of the health page, read from Redis with a fixed number of round trips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from redis import Redis

from cron_tasks.broker.presence import list_workers
from cron_tasks.health.checks import run_check
from cron_tasks.health.system import Finding, System
from cron_tasks.ledger.batch import read_line
from cron_tasks.ledger.history import REPLIES, read_history, request_history, split_runs
from cron_tasks.ledger.minutes import OUTGROWN
from cron_tasks.ledger.readable import parse_each, parse_run
from cron_tasks.pages.causes import Cause, Failure, group_failures
from cron_tasks.pages.index import Snapshot
from cron_tasks.pages.sentence import LATE, Headline, Situation, say
from cron_tasks.pages.surveyed import Audit, Surveyed, Unrun
from cron_tasks.registry.registry import RegisteredJob, Registry
from cron_tasks.runs.outgrown import find_outgrown
from cron_tasks.runs.trail import HandAction, read_actions
from cron_tasks.schedules.durations import DAY
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.paging import PAGE, pages
from cron_tasks.sync.refused_plan import RefusedPlan, load_plan
from cron_tasks.sync.state import load_status
from cron_tasks.vitals.leaders import LeaderHistory, read_leaders

#: The most failing jobs whose causes are read. With more, the page says so.
MOST_FAILING = 5000
#: The most rows in a list of the page.
SHOWN = 8
#: The records that are searched for the last failure of a failing job. Later runs may be skipped.
SEARCHED = 5
#: Checks of doctor that take one or two round trips.
QUICK_CHECKS = (
    *("beat", "schedule", "open ticks", "last sync", "owner", "rows", "entries"),
    *("queue", "messages", "reports"),
)


@dataclass(frozen=True, slots=True)
class Late:
    """A job that has been due since this time (seconds) and has not fired."""

    job_id: str
    due: float


@dataclass(frozen=True, slots=True)
class Remarked:
    """Ticks of a job that did not run. For overlaps the remark has the duration of its runs."""

    unrun: Unrun
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Everything on the health page, as of `at` (seconds).

    `failing` is the number of failing jobs, and `causes` are the causes of up to MOST_FAILING of
    them. `refused_plan` are the changes of a refused list.
    """

    at: float
    headline: Headline
    jobs: int
    failing: int
    causes: Sequence[Cause]
    late: Sequence[Late]
    late_count: int
    unrun: Sequence[Remarked]
    unrun_count: int
    paused_long: Sequence[tuple[str, float]]
    refused_plan: RefusedPlan | None
    leaders: LeaderHistory
    findings: Sequence[Finding]
    done_by_hand: Sequence[HandAction]
    audit: Audit | None


class _Counts(NamedTuple):
    """Counts of one moment. `late_rows` are the first late entries."""

    leads: int
    first: list[tuple[str, float]]
    late: int
    late_rows: list[tuple[str, float]]
    waiting: int
    failing: int
    jobs: int


def _count(redis: Redis, now: float) -> _Counts:
    with redis.pipeline(transaction=False) as pipe:
        pipe.exists(keys.LEADER_LOCK)
        pipe.zrange(keys.SCHEDULE, 0, 0, withscores=True)
        pipe.zcount(keys.SCHEDULE, 0, now - LATE)
        pipe.zrangebyscore(keys.SCHEDULE, 0, now - LATE, 0, SHOWN, withscores=True)
        pipe.zcount(keys.DEADLINES, 0, now - LATE)
        pipe.hlen(keys.FAILING)
        pipe.hlen(keys.JOBS)
        return _Counts(*pipe.execute())


def read_health(
    redis: Redis, settings: Settings, index: Snapshot, surveyed: Surveyed, now: float
) -> Health:
    """Read the state of the whole system at `now` (seconds since the epoch)."""
    counts, causes = _count(redis, now), group_failures(read_failures(redis))
    system, status = System(settings, redis, now), load_status(redis)
    names = [name for name in QUICK_CHECKS if name != "owner" or settings.rest_url]
    findings = [*(run_check(name, system) for name in names), *surveyed.findings]
    audit = surveyed.audit
    situation = Situation(
        jobs=counts.jobs,
        has_leader=bool(counts.leads),
        workers=len(list_workers(redis, now)),
        oldest_due=max(now - counts.first[0][1], 0.0) if counts.first else 0.0,
        late=counts.late,
        waiting=counts.waiting,
        list=status.state,
        list_since=now - (status.since or now),
        list_detail=status.detail,
        failing=counts.failing,
        causes=len(causes),
        lost=len(audit.tally.lost) if audit else None,
        other_faults=[each.detail for each in findings if each.status == "fail"],
        other_warnings=[each.detail for each in findings if each.status == "warn"],
    )
    unrun = audit.unrun if audit else ()
    return Health(
        at=now,
        headline=say(situation),
        jobs=counts.jobs,
        failing=counts.failing,
        causes=causes,
        late=[Late(keys.job_id_of(key) or key, due) for key, due in counts.late_rows],
        late_count=counts.late,
        unrun=_add_remarks(redis, unrun[:SHOWN], now),
        unrun_count=len(unrun),
        paused_long=_paused_long(index, now),
        refused_plan=load_plan(status.refused_plan) if status.state == "refused" else None,
        leaders=read_leaders(redis, now),
        findings=sorted(findings, key=lambda each: ("fail", "warn", "ok").index(each.status)),
        done_by_hand=read_actions(redis, SHOWN),
        audit=audit,
    )


def read_failures(redis: Redis) -> list[Failure]:
    """Return up to MOST_FAILING of the failing jobs, with their first and last failure in a row."""
    rows = islice(redis.hscan_iter(keys.FAILING, count=PAGE), MOST_FAILING)
    found = []
    for page in pages(rows):
        with redis.pipeline(transaction=False) as pipe:
            for job_id, times in page:
                nth = max(int(times), 1) - 1 if times.isdecimal() else 0
                pipe.lrange(keys.HISTORY_PREFIX + job_id, 0, SEARCHED - 1)
                pipe.zrevrange(keys.ACCOUNT_PREFIX + job_id, nth, nth, withscores=True)
            replies = pipe.execute(raise_on_error=False)
        for (job_id, _), lines, first in zip(page, replies[::2], replies[1::2], strict=True):
            found.append(_read_failure(job_id, lines, first))
    return found


def _read_failure(job_id: str, lines: Any, nth: Any) -> Failure:
    """Return a failing job. `nth` is the record of its n-th last tick that did not end ok.

    The job has failed n times in a row, so that tick is its first failure, or a later one if ticks
    were also skipped or missed.
    """
    texts = (read_line(line, job_id) for line in (lines if isinstance(lines, list) else []))
    records = list(parse_each(parse_run, texts))
    failed = next((each for each in records if each["status"] == "failed"), None)
    if failed is None:
        return Failure(job_id, 0.0, 0.0, "details are no longer kept")
    since = nth[0][1] if isinstance(nth, list) and nth else records[-1]["finished_at"]
    return Failure(job_id, since, failed["finished_at"], failed["error"] or "")


def _paused_long(index: Snapshot, now: float) -> list[tuple[str, float]]:
    """Return the jobs that have been paused for longer than a day, the longest first."""
    if not index.paused:
        return []
    paused = [(job.id, job.paused) for job in index.ordered if job.paused is not None]
    return sorted((each for each in paused if now - each[1] > DAY), key=lambda each: each[1])


def _add_remarks(redis: Redis, unrun: Sequence[Unrun], now: float) -> list[Remarked]:
    """Add a remark to jobs that skip ticks by overlap if their runs take longer than their
    interval."""
    overlapping = [each.job_id for each in unrun if each.reason in OUTGROWN]
    with redis.pipeline(transaction=False) as pipe:
        for job_id in overlapping:
            request_history(pipe, job_id)
        replies = pipe.execute(raise_on_error=False)
    histories = {
        job_id: read_history(replies[REPLIES * n : REPLIES * (n + 1)], job_id)
        for n, job_id in enumerate(overlapping)
    }
    present = {each.job.id: each for each in _read_present(redis, overlapping)}
    found = [Remarked(each) for each in unrun]
    for number, each in enumerate(unrun):
        if registered := present.get(each.job_id):
            runs = split_runs(histories[each.job_id])
            outgrown = find_outgrown(runs, registered.job.schedule, now)
            found[number] = replace(found[number], remark=outgrown.span if outgrown else "")
    return found


def _read_present(redis: Redis, job_ids: Sequence[str]) -> list[RegisteredJob]:
    if not job_ids:
        return []
    return list(Registry(redis).read_jobs(job_ids, on_unreadable=lambda *_: None))
