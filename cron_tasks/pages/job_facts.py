"""The data of the pages of jobs: rows of a list, and everything about one job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from redis import Redis

from cron_tasks.audit.account_reader import read_accounts
from cron_tasks.audit.asking import explain_at
from cron_tasks.audit.job_account import Version
from cron_tasks.errors import UnknownJob
from cron_tasks.jobs.confidential import mask_job
from cron_tasks.ledger.history import REPLIES, read_history, request_history, split_runs
from cron_tasks.ledger.readable import parse_each
from cron_tasks.ledger.run_id import RunId
from cron_tasks.pages import charts
from cron_tasks.pages.charts import Mark
from cron_tasks.registry.registry import RegisteredJob, Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.runs import queries
from cron_tasks.runs.outgrown import find_outgrown
from cron_tasks.runs.shapes import Shape, read_records
from cron_tasks.schedules.human import parse_moment
from cron_tasks.schedules.zones import MICROSECOND
from cron_tasks.store import keys

#: With more open runs than this, not all are searched for those of one job.
MOST_OPEN = 5000
#: The replies for a row: its history, records, failures, and since when the job is known.
_ROW_REPLIES = REPLIES + 4
#: The numbers of runs in the timeline, from the history and from the account, of open runs, and of
#: next ticks.
KEPT_RUNS, ACCOUNTED, OPEN_SHOWN, TICKS = 20, 40, 20, 10


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in the list, with the strip of its outcomes and the record of its last run."""

    registered: RegisteredJob
    strip: Sequence[Mark]
    last: Mapping[str, Any] | None
    is_failing: bool


@dataclass(frozen=True, slots=True)
class JobPage:
    """Everything about one job. `ticks` are the next ones, each with whether it is skipped.

    `remarks` are sentences about its runs, for example that they take longer than its interval.
    """

    row: JobRow
    fields: Mapping[str, Any]
    rejected: Sequence[str]
    ticks: Sequence[tuple[float, bool]]
    open: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    bars: Sequence[Mark]
    versions: Sequence[Version]
    remarks: Sequence[str]


def read_rows(redis: Redis, job_ids: Sequence[str], now: float) -> list[JobRow]:
    """Read the jobs of one page, in their order. Jobs that are gone are left out."""
    registered = list(Registry(redis).read_jobs(job_ids, on_unreadable=lambda *_: None))
    ids = [each.job.id for each in registered]
    with redis.pipeline(transaction=False) as pipe:
        for job_id in ids:
            request_history(pipe, job_id, charts.STRIP)
            pipe.zrangebyscore(
                keys.ACCOUNT_PREFIX + job_id, now - charts.STRIP_SPAN, now, withscores=True
            )
            pipe.hexists(keys.FAILING, job_id)
            pipe.hget(keys.entry_key(job_id), "since")
            pipe.lindex(keys.VERSIONS_PREFIX + job_id, -1)
        replies = pipe.execute(raise_on_error=False)
    rows = []
    for number, each in enumerate(registered):
        own = replies[_ROW_REPLIES * number : _ROW_REPLIES * (number + 1)]
        past, (ends, failing, since, oldest) = own[:REPLIES], own[REPLIES:]
        runs = _read_records(past, each.job.id)
        strip = charts.strip_of_runs(runs)
        if _is_frequent(each):
            strip = _strip_of_hour(ends, _known_since(since, oldest), now)
        rows.append(JobRow(each, strip, runs[0] if runs else None, failing is True))
    return rows


def _read_records(replies: Sequence[Any], job_id: str) -> list[Shape]:
    return list(read_records(read_history(replies, job_id)))


def _is_frequent(registered: RegisteredJob) -> bool:
    """Return whether a job fires so often that its last runs do not cover the last hour."""
    if registered.next is None:
        return False
    first = datetime.fromtimestamp(registered.next, UTC)
    after = registered.job.schedule.after(first)
    return after is not None and (after - first).total_seconds() < charts.FREQUENT


def _strip_of_hour(ends: Any, since: float, now: float) -> list[Mark]:
    rows = ends if isinstance(ends, list) else []
    return charts.strip_of_buckets(list(parse_each(_read_end, rows)), since, now)


def _read_end(row: tuple[str, float]) -> tuple[float, str]:
    line, at = row
    return at, str(orjson.loads(line).get("status", "missed"))


def _known_since(since: Any, oldest: Any) -> float:
    """Return when a job became known: with its oldest version, or with the current one."""
    try:
        return float(orjson.loads(oldest).get("since", 0.0) if oldest else since)
    except (TypeError, ValueError, AttributeError):
        return 0.0


def read_job(redis: Redis, job_id: str, now: float) -> JobPage:
    """Read everything about a job. Raises UnknownJob."""
    rows = read_rows(redis, [job_id], now)
    if not rows:
        Registry(redis).get_job(job_id)  # It raises UnknownJob, or that the job is unreadable.
        raise UnknownJob(f"job {job_id} was removed just now")
    row = rows[0]
    (account,) = read_accounts(redis, [job_id], range(0), {})
    history, others = _list_ended(redis, job_id)
    ended = {run["run_id"]: run for run in [*read_records(history), *others]}
    outgrown = find_outgrown(split_runs(history), row.registered.job.schedule, now)
    newest_first = sorted(ended.values(), key=lambda run: str(run["scheduled_for"]), reverse=True)
    found = _find_open(redis, row.registered, now)
    opened = [run for run_id in found if (run := queries.describe_run(redis, run_id))]
    rejected = [each.errors for each in read_rejected(redis) if each.id == job_id]
    return JobPage(
        row=row,
        fields=_shown_fields(row.registered),
        rejected=sum(rejected, ()),
        ticks=_next_ticks(row.registered),
        open=opened,
        runs=newest_first,
        bars=charts.bars_of_durations(newest_first[:KEPT_RUNS]),
        versions=list(reversed(account.versions)),
        remarks=[outgrown.sentence] if outgrown else [],
    )


def _find_open(redis: Redis, registered: RegisteredJob, now: float) -> list[RunId]:
    """Return open runs of a job, the latest first.

    If there are very many open runs, only those are found that have the job's place, wait for it,
    or belong to one of its last ticks.
    """
    job_id, schedule = registered.job.id, registered.job.schedule
    if redis.hlen(keys.OPEN) <= MOST_OPEN:
        return [run["run_id"] for run in queries.list_open(redis, OPEN_SHOWN, job_id)]
    ticks, moment = list[RunId](), datetime.fromtimestamp(now, UTC)
    while len(ticks) < TICKS and (tick := schedule.latest(moment)):
        ticks.append(RunId(job_id, tick.timestamp()))
        moment = tick - MICROSECOND
    with redis.pipeline(transaction=False) as pipe:
        pipe.hget(keys.GOING, job_id)
        pipe.hget(keys.QUEUED, job_id)
        places = [RunId.stored(text) for text in pipe.execute() if text]
    candidates = list(dict.fromkeys([*ticks, *places]))
    states = redis.hmget(keys.OPEN, candidates) if candidates else []
    return [run_id for run_id, state in zip(candidates, states, strict=True) if state]


def _list_ended(redis: Redis, job_id: str) -> tuple[list[str], list[Shape]]:
    """Return the lines of the history, and the last ticks that did not end ok, which are kept
    longer."""
    with redis.pipeline(transaction=False) as pipe:
        request_history(pipe, job_id, KEPT_RUNS)
        pipe.zrevrange(keys.ACCOUNT_PREFIX + job_id, 0, ACCOUNTED - 1)
        *past, lines = pipe.execute(raise_on_error=False)
    history = read_history(past, job_id)
    lines = lines if isinstance(lines, list) else []
    # The skipped runs of a minute are in the account, too.
    known = {run["run_id"] for run in split_runs(history)}
    others = read_records(queries.skip_stretches(lines))
    return history, [run for run in others if run["run_id"] not in known]


def _next_ticks(registered: RegisteredJob) -> list[tuple[float, bool]]:
    if registered.due is None:
        return []
    schedule = registered.job.schedule
    first = datetime.fromtimestamp(registered.due, UTC)
    found = islice(schedule.between(first, datetime.max.replace(tzinfo=UTC)), TICKS)
    return [(tick.timestamp(), tick.timestamp() in registered.skips) for tick in found]


def _shown_fields(registered: RegisteredJob) -> dict[str, Any]:
    """Return the fields of a job that are not defaults, without its secrets."""
    fields: dict[str, Any] = orjson.loads(registered.job.to_document())
    for name in ("schedule", "id", "name", "enabled", "written"):
        fields.pop(name, None)
    return mask_job(fields)


def explain(redis: Redis, job_id: str, at: str) -> tuple[str, RunId | None]:
    """Return what happened to a job at a time, or why this is not known.

    If the time is a tick that fired, return its run, too.
    """
    now = datetime.now(UTC)
    try:
        when, answer = explain_at(
            redis, job_id, lambda zone: parse_moment(at, zone, now).timestamp(), now.timestamp()
        )
    except ValueError as error:
        return str(error), None
    return answer.sentence, RunId(job_id, when) if answer.status else None
